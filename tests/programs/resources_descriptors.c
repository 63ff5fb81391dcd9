// A program that closes descriptors it did not open, and uses their numbers for files of its own: the first argument says how. Then it does
// what libprof would say something about. Its files must hold what it wrote, and nothing else.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "victim.h"

BURNER(first_work, 6364136223846793005u)
BURNER(later_work, 2862933555777941757u)

static void on_signal(int number) { (void)number; }

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  const int appends = argc > 2 && strcmp(argv[2], "append") == 0 ? O_APPEND : 0;
  const int is_brief = argc > 3;
  if (!is_brief) first_work(milliseconds(30));
  const int out = fcntl(1, F_DUPFD_CLOEXEC, 100);
  if (strcmp(how, "close_range") == 0) {
    close_range(0, 99, 0);
    close_range(101, ~0u, 0);
  } else if (strcmp(how, "closefrom") == 0) {
    for (int fd = 0; fd < 100; ++fd) close(fd);
    closefrom(101);
  } else {
    for (int fd = 0; fd < 70000; ++fd)
      if (fd != out) close(fd);
  }
  int files[20], faults = 0;
  for (int i = 0; i < 20; ++i) {
    char name[16];
    snprintf(name, sizeof name, "data.%d", i);
    files[i] = open(name, O_RDWR | O_CREAT | O_TRUNC | appends, 0600);
    faults += files[i] != i;  // the lowest free number is the program's to have
    faults += write(files[i], name, strlen(name)) != (ssize_t)strlen(name);
  }
  later_work(milliseconds(30));
  signal(SIGPROF, on_signal);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  const struct timespec none = {0, 0};
  sigtimedwait(&set, NULL, &none);
  setenv("PROF_CPU_HZ", "wrong", 1);
  if (fork() == 0) _exit(0);
  for (int i = 0; i < 20; ++i) {
    faults += write(files[i], "\n", 1) != 1;
    faults += lseek(files[i], 0, SEEK_CUR) != (i < 10 ? 7 : 8);
  }
  dprintf(out, "faults %d\n", faults);
  return 0;
}
