// Processes that end while one of their threads forks ("forks"), and that are sent a signal while one executes something ("executes"), or
// two do ("both_execute"), or fail to ("both_fail"). Each round is a child's; what it leaves behind comes to this process, which waits for all
// of it. Prints how many rounds went as they should.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(work_before, 6364136223846793005u)

enum { kRounds = 40, kStacks = 4096, kForks = 300, kGiveUpMs = 5000 };

// An allocation of its own on each of many stacks: there is something to be written, which takes a while.
NOT_INLINED static void allocate_on_path(unsigned path, int depth) {
  static void *volatile block __attribute__((unused));
  if (depth == 0) {
    block = malloc(64);
  } else if (path & 1) {
    allocate_on_path(path >> 1, depth - 1);
    __asm__ volatile("");
  } else {
    allocate_on_path(path >> 1, depth - 1);
    __asm__ volatile("nop");
  }
  __asm__ volatile("");
}

static void *forks(void *unused) {
  for (int i = 0; i < kForks; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    usleep(200);
  }
  return unused;
}

static void *waits(void *unused) {
  for (;;) pause();
  return unused;
}

static const char *file_executed = "/proc/self/exe";
static int has_begun;  // and has said so

static void *executes(void *unused) {
  while (!__atomic_load_n(&has_begun, __ATOMIC_ACQUIRE)) sched_yield();
  execl(file_executed, "endings_amid_calls", "second", (char *)NULL);
  for (;;) pause();
  return unused;
}

static void begin_round(void *(*beside)(void *)) {
  pthread_t thread;
  for (unsigned path = 0; path < kStacks; ++path) allocate_on_path(path, 12);
  if (pthread_create(&thread, NULL, beside, NULL) != 0) _exit(99);
}

// How the child ended; -1: it does not. Children of its that do not end are ended, and `left` says so.
static int end_of(pid_t child, int *left) {
  int status = -1;
  for (int i = 0; i < kGiveUpMs; ++i) {
    int one;
    const pid_t ended = waitpid(-1, &one, WNOHANG);
    if (ended < 0 && errno == ECHILD) return status;
    if (ended == child) status = one;
    if (ended == 0) usleep(1000);
  }
  *left = 1;
  kill(-child, SIGKILL);
  return -1;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "second") == 0)
    for (;;) pause();
  const int is_forking = strcmp(what, "forks") == 0;
  void *(*const beside)(void *) = is_forking ? forks : strcmp(what, "executes") == 0 ? waits : executes;
  // Which only the kernel finds out.
  if (strcmp(what, "both_fail") == 0) {
    file_executed = "no_program";
    close(open(file_executed, O_WRONLY | O_CREAT, 0755));
  }
  int good = 0, left = 0;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int round = 0; round < kRounds; ++round) {
    int begins[2];
    if (pipe2(begins, O_CLOEXEC) != 0) return 9;
    const pid_t child = fork();
    if (child == 0) {
      setpgid(0, 0);
      work_before(milliseconds(15));
      begin_round(beside);
      if (write(begins[1], "", 1) != 1) _exit(9);
      __atomic_store_n(&has_begun, 1, __ATOMIC_RELEASE);
      if (!is_forking) executes(NULL);
      usleep(2000);
      _exit(7);
    }
    char byte;
    if (read(begins[0], &byte, 1) != 1) return 9;
    close(begins[0]);
    close(begins[1]);
    usleep((useconds_t)(500 * round));
    if (!is_forking) kill(child, SIGTERM);
    const int status = end_of(child, &left);
    const int is_exit = WIFEXITED(status) && WEXITSTATUS(status) == 7;
    good += is_forking ? is_exit : WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
  }
  printf("%d of %d, left behind: %d\n", good, (int)kRounds, left);
  return 0;
}
