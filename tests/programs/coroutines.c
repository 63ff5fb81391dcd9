// makecontext coroutines on stacks of the program's own: one from malloc, one between inaccessible pages.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "burn.h"

static ucontext_t g_main, g_coroutines[2];
static int g_rounds;

__attribute__((noinline)) void coroutine_work(int which) {
  BURN(0.003);
  ++g_rounds;
  swapcontext(&g_coroutines[which], &g_main);
}
static void coroutine(int which) {
  for (;;) coroutine_work(which);
}

int main(void) {
  enum { kBytes = 32768, kPage = 4096 };
  char* mapped = mmap(NULL, kBytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(mapped + kPage, kBytes, PROT_READ | PROT_WRITE);
  char* stacks[2] = {malloc(kBytes), mapped + kPage};
  for (int i = 0; i < 2; ++i) {
    getcontext(&g_coroutines[i]);
    g_coroutines[i].uc_stack.ss_sp = stacks[i];
    g_coroutines[i].uc_stack.ss_size = kBytes;
    makecontext(&g_coroutines[i], (void (*)(void))coroutine, 1, i);
  }
  for (int round = 0; round < 400; ++round) swapcontext(&g_main, &g_coroutines[round % 2]);
  printf("rounds %d\n", g_rounds);
  return 0;
}
