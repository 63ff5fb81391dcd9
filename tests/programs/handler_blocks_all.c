// Sets a handler that blocks every signal, and works for half a second of CPU time. It calls no io_uring.
// build: -O2
#define _GNU_SOURCE
#include <signal.h>

#include "victim.h"

BURNER(work, 6364136223846793005u)

static void on_signal(int number) { (void)number; }

int main(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigfillset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  work(milliseconds(500));
}
