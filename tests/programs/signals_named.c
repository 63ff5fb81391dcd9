// A thread blocks SIGPROF by name (itself; or it was made so, or by who executed this program), uses CPU time, and is sent it: by
// pthread_kill and raise to that very thread. It finds it pending, takes it, and is then sampled as ever. Argument: blocks, inherits,
// executes.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

BURNER(held_work, 6364136223846793005u)
BURNER(work_after, 2862933555777941757u)

static sigset_t sigprof;

static void take_one(const char *what) {
  const struct timespec soon = {1, 0};
  siginfo_t info;
  sigset_t pending;
  sigpending(&pending);
  const int is_pending = sigismember(&pending, SIGPROF);
  const int number = sigtimedwait(&sigprof, &info, &soon);
  printf("%s: pending %d, taken %d, by %d\n", what, is_pending, number, number > 0 ? info.si_code : 0);
}

static void *works(void *how) {
  if (strcmp(how, "blocks") == 0) pthread_sigmask(SIG_BLOCK, &sigprof, NULL);
  held_work(milliseconds(100));
  pthread_kill(pthread_self(), SIGPROF);
  take_one("pthread_kill");
  held_work(milliseconds(100));
  raise(SIGPROF);
  take_one("raise");
  sigset_t before;
  pthread_sigmask(SIG_UNBLOCK, &sigprof, &before);
  printf("was blocked: %d\n", sigismember(&before, SIGPROF));
  work_after(milliseconds(200));
  // A second time, by the other call.
  sigprocmask(SIG_BLOCK, &sigprof, NULL);
  held_work(milliseconds(50));
  pthread_kill(pthread_self(), SIGPROF);
  take_one("again");
  sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL);
  work_after(milliseconds(200));
  return NULL;
}

int main(int argc, char **argv) {
  char *how = argc > 1 ? argv[1] : "blocks";
  sigemptyset(&sigprof);
  sigaddset(&sigprof, SIGPROF);
  if (strcmp(how, "blocks") != 0) pthread_sigmask(SIG_BLOCK, &sigprof, NULL);
  if (strcmp(how, "executes") == 0) {
    execl("/proc/self/exe", argv[0], "executed", (char *)NULL);
    return 2;
  }
  if (strcmp(how, "executed") == 0) {
    works(how);
    return 0;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, works, how) != 0) return 3;
  pthread_join(thread, NULL);
  return 0;
}
