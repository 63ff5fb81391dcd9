// Executes itself by posix_spawn with attributes that are about the signals libprof uses: reset to their defaults, blocked, both or neither,
// where this program ignores, handles or blocks them itself. What is executed prints what it has of them, and burns child_work().
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(child_work, 6364136223846793005u)

extern char **environ;

static const int numbers[] = {SIGPROF, SIGUSR2, SIGTERM};
enum { kNumbers = sizeof numbers / sizeof *numbers };

static void on_signal(int number) { (void)number; }

static int child_main(void) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  for (int i = 0; i < kNumbers; ++i) {
    struct sigaction now;
    sigaction(numbers[i], NULL, &now);
    printf(" %s%s",
           now.sa_handler == SIG_DFL   ? "default"
           : now.sa_handler == SIG_IGN ? "ignored"
                                       : "handled",
           sigismember(&mask, numbers[i]) ? ", blocked" : "");
  }
  printf("\n");
  fflush(stdout);
  child_work(milliseconds(20));
  return 7;
}

static void spawn(char *self, int resets, int masks) {
  posix_spawnattr_t attributes;
  sigset_t signals;
  sigemptyset(&signals);
  for (int i = 0; i < kNumbers; ++i) sigaddset(&signals, numbers[i]);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           (short)((resets ? POSIX_SPAWN_SETSIGDEF : 0) | (masks ? POSIX_SPAWN_SETSIGMASK : 0)));
  char *words[] = {self, (char *)"child", NULL};
  printf("reset %d, mask %d:", resets, masks);
  fflush(stdout);
  pid_t child;
  int status = -1;
  const int error = posix_spawn(&child, "/proc/self/exe", NULL, &attributes, words, environ);
  if (error == 0) waitpid(child, &status, 0);
  posix_spawnattr_destroy(&attributes);
  if (error != 0 || status != 7 << 8) printf("error %d, status %x\n", error, (unsigned)status);
}

int main(int argc, char **argv) {
  if (argc > 1) return child_main();
  sighandler_t const handlers[] = {SIG_DFL, SIG_IGN, on_signal};
  for (int way = 0; way < 3; ++way) {
    for (int i = 0; i < kNumbers; ++i) signal(numbers[i], handlers[way]);
    for (int resets = 0; resets < 2; ++resets)
      for (int masks = 0; masks < 2; ++masks) spawn(argv[0], resets, masks);
  }
  return 0;
}
