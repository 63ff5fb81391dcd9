// An 8 KB alternate signal stack with the program's own handler at work on it, under a profiler that uses it too.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "burn.h"

enum { kBytes = 8192, kGuard = 64 };
static unsigned char g_memory[kGuard + kBytes];
static volatile int g_handled;

__attribute__((noinline)) void handler_work(void) { BURN(0.002); }
static void on_signal(int number) {
  (void)number;
  handler_work();
  ++g_handled;
}

__attribute__((noinline)) void deeper(int depth) {
  if (depth == 0) {
    BURN(0.002);
  } else {
    deeper(depth - 1);
  }
  __asm__ volatile("");
}

int main(void) {
  // Below the stack: what an overflow would write over.
  memset(g_memory, 0x5a, kGuard);
  stack_t stack = {.ss_sp = g_memory + kGuard, .ss_size = kBytes};
  if (sigaltstack(&stack, NULL) != 0) {
    puts("too small for this machine");
    return 0;
  }
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR2, &action, NULL);
  for (int i = 0; i < 300; ++i) {
    deeper(30);
    raise(SIGUSR2);
  }
  for (int i = 0; i < kGuard; ++i) {
    if (g_memory[i] != 0x5a) {
      puts("overflow");
      return 1;
    }
  }
  printf("handled %d\n", g_handled);
  return 0;
}
