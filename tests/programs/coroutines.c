// Shows makecontext coroutines that take turns, on stacks from malloc and from mmap (with guard pages), burning CPU.
// Arguments: rounds of 5 ms for each of 8 coroutines; threads that have 8 each (0: main has them).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "victim.h"

enum { kCoroutines = 8, kStack = 64 << 10, kPage = 4096, kMostThreads = 64 };

BURNER(coroutine_work, 6364136223846793005u)

static __thread ucontext_t scheduler, contexts[kCoroutines];
static __thread int turns[kCoroutines];
static int rounds, all_turns;

NOT_INLINED void coroutine_body(int self) {
  for (int i = 0; i < rounds; ++i) {
    coroutine_work(milliseconds(5));
    ++turns[self];
    swapcontext(&contexts[self], &scheduler);
  }
  NOT_A_TAIL_CALL();
}

static void *run_coroutines(void *unused) {
  for (int i = 0; i < kCoroutines; ++i) {
    char *stack;
    if (i % 2) {
      stack = malloc(kStack);
    } else {
      stack = mmap(NULL, kStack + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      stack += kPage;
      mprotect(stack, kStack, PROT_READ | PROT_WRITE);
    }
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = stack;
    contexts[i].uc_stack.ss_size = kStack;
    contexts[i].uc_link = &scheduler;
    makecontext(&contexts[i], (void (*)(void))coroutine_body, 1, i);
  }
  for (int round = 0; round <= rounds; ++round) {
    for (int i = 0; i < kCoroutines; ++i) swapcontext(&scheduler, &contexts[i]);
  }
  for (int i = 0; i < kCoroutines; ++i) __atomic_add_fetch(&all_turns, turns[i], __ATOMIC_RELAXED);
  return unused;
}

int main(int argc, char **argv) {
  rounds = (int)argument(argc, argv, 1, 40);
  const int threads = (int)argument(argc, argv, 2, 0);
  pthread_t ids[kMostThreads];
  if (threads == 0) run_coroutines(NULL);
  for (int i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, run_coroutines, NULL);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("{\"turns\": %d}\n", all_turns);
}
