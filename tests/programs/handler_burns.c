// Shows a signal handler that burns CPU; it interrupts interrupted_work() every 20 ms for 10 ms.
// Argument: CPU seconds, the handler's included.
// build: -O2 -fomit-frame-pointer
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "victim.h"

BURNER(handler_work, 6364136223846793005u)
BURNER(interrupted_work, 2862933555777941757u)

static uint64_t handler_ns;

static void on_alarm(int number) {
  (void)number;
  handler_ns += handler_work(milliseconds(10));
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  uint64_t all_ns = interrupted_work(seconds(argument(argc, argv, 1, 2)));
  setitimer(ITIMER_REAL, &never, NULL);
  printf("{\"handler_work\": %llu, \"interrupted_work\": %llu}\n", (unsigned long long)handler_ns,
         (unsigned long long)all_ns);
}
