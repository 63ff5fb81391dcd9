// Sets a handler that blocks every signal, and says how long that took; then it works for half a second of CPU time. It calls no io_uring.
//   handler_blocks_all [LIBRARY]  which it loads before
// build: -O2
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>

#include "victim.h"

BURNER(work, 6364136223846793005u)

static void on_signal(int number) { (void)number; }

int main(int argc, char **argv) {
  if (argc > 1 && dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) == NULL) return puts(dlerror()), 1;
  struct sigaction action = {.sa_handler = on_signal};
  sigfillset(&action.sa_mask);
  const uint64_t began = wall_ns();
  sigaction(SIGUSR1, &action, NULL);
  printf("%llu us\n", (unsigned long long)(wall_ns() - began) / 1000);
  work(milliseconds(500));
}
