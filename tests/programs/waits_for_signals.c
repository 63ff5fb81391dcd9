// Shows a program that blocks every signal, burns CPU, and takes what comes by sigwait: it must be what was sent.
// build: -O2 -fomit-frame-pointer
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "victim.h"

BURNER(masked_work, 6364136223846793005u)

int main(void) {
  sigset_t all, pending;
  int number = 0, strangers = 0;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  masked_work(milliseconds(500));
  sigpending(&pending);
  for (int i = 1; i < 65; ++i) strangers += sigismember(&pending, i) == 1;
  kill(getpid(), SIGUSR2);
  sigwait(&all, &number);
  printf("{\"pending\": %d, \"usr2\": %d}\n", strangers, number == SIGUSR2);
}
