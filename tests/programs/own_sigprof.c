// Shows a program that has a SIGPROF handler and timer of its own: it must get its signals.
// build: -O2 -fomit-frame-pointer
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "victim.h"

BURNER(own_work, 6364136223846793005u)

static volatile sig_atomic_t seen;

static void on_sigprof(int number) { seen = seen + (number == SIGPROF); }

int main(void) {
  struct sigaction action = {.sa_handler = on_sigprof, .sa_flags = SA_RESTART}, now;
  sigaction(SIGPROF, &action, NULL);
  struct itimerval often = {{0, 50000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_PROF, &often, NULL);
  own_work(seconds(1));
  setitimer(ITIMER_PROF, &never, NULL);
  sigaction(SIGPROF, NULL, &now);
  // 20 are due in a second; a handler that is also given somebody else's ticks would see far more.
  printf("{\"some\": %d, \"not_more\": %d, \"still_mine\": %d}\n", seen >= 10, seen <= 22,
         now.sa_handler == on_sigprof);
}
