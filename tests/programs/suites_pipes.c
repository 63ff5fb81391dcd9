// What libprof broke in others' test suites. Each prints what it counted: 0.
//   suites_pipes writes   large writes to a pipe whose reader is slow; counts those that ended short, and data that is missing
//   suites_pipes execs    children that are executed right after their fork, by a process that has just begun; counts those that died
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

static BURNER(works_first, 6364136223846793005u)

    enum {
      kBytes = 1 << 20,
      kWrites = 40,
      kExecs = 30
    };
static char data[kBytes];

static int writes(void) {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t reader = fork();
  if (reader == 0) {
    close(ends[1]);
    long all = 0;
    for (long got; (got = read(ends[0], data, 20000)) > 0;) all += got;
    _exit(all == (long)kBytes * kWrites ? 0 : 1);
  }
  close(ends[0]);
  int shorter = 0, refused = 0;
  for (int i = 0; i < kWrites; ++i) {
    // What an interpreter does between its writes: it works a little, then writes without looking at what was written.
    works_first(500000);
    long done = 0;
    for (long wrote; done < kBytes; done += wrote) {
      wrote = write(ends[1], data + done, (size_t)(kBytes - done));
      if (wrote < 0) {
        refused += 1;
        wrote = 0;
        if (errno != EINTR) return 1;
      } else if (wrote < kBytes - done) {
        shorter += 1;
      }
    }
  }
  close(ends[1]);
  int status = 0;
  waitpid(reader, &status, 0);
  printf("short writes: %d, interrupted: %d, missing: %d\n", shorter, refused, status != 0);
  return 0;
}

static int execs(void) {
  int dead = 0;
  for (int i = 0; i < kExecs; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      // Two pipelines of programs that a shell forks and executes at once.
      execl("/bin/sh", "sh", "-c", "/bin/true | /bin/true; exec /bin/true", (char*)0);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    dead += status != 0;
  }
  printf("dead: %d\n", dead);
  return 0;
}

int main(int count, char** arguments) {
  works_first(20000000);
  return count > 1 && strcmp(arguments[1], "execs") == 0 ? execs() : writes();
}
