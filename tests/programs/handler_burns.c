// Shows a signal handler that burns CPU; it interrupts interrupted_work() every 17 to 41 ms, for 10 ms.
// Argument: CPU seconds, the handler's included.
// build: -O2 -fomit-frame-pointer
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "victim.h"

BURNER(handler_work, 6364136223846793005u)
BURNER(interrupted_work, 2862933555777941757u)

static uint64_t handler_ns, random_state = 7;

// At random distances, or the ticks would come at the same point of every round.
static void alarm_later(void) {
  struct itimerval later = {{0, 0}, {0, 17000 + next_number(&random_state) % 24000}};
  setitimer(ITIMER_REAL, &later, NULL);
}

static void on_alarm(int number) {
  (void)number;
  handler_ns += handler_work(milliseconds(10));
  alarm_later();
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  alarm_later();
  uint64_t all_ns = interrupted_work(seconds(argument(argc, argv, 1, 2)));
  signal(SIGALRM, SIG_IGN);
  printf("{\"handler_work\": %llu, \"interrupted_work\": %llu}\n", (unsigned long long)handler_ns,
         (unsigned long long)all_ns);
}
