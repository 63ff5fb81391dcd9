// Shows a program with an alternate signal stack of 8 KB, its own handlers for SIGUSR1 and SIGSEGV on it.
// Arguments: `brief` handlers, or `busy` ones: those burn CPU on the small stack, where no tick is to find them; rounds (50);
// threads, each with such a stack (0: main has it); milliseconds of a round, and of a busy handler (20).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "victim.h"

enum { kSize = 8192, kPage = 4096, kMostThreads = 64 };

BURNER(plain_work, 6364136223846793005u)
BURNER(handler_work, 2862933555777941757u)

static uint64_t round_ns;
static int busy, rounds, usr1_seen, segv_seen, off_stack;
static __thread char *stack;
static __thread sigjmp_buf recovery;

static void note_stack(void) {
  char here;
  if (&here < stack || &here >= stack + kSize) __atomic_add_fetch(&off_stack, 1, __ATOMIC_RELAXED);
}

static void on_usr1(int number) {
  (void)number;
  __atomic_add_fetch(&usr1_seen, 1, __ATOMIC_RELAXED);
  note_stack();
  if (busy) handler_work(round_ns);
}

static void on_segv(int number) {
  (void)number;
  __atomic_add_fetch(&segv_seen, 1, __ATOMIC_RELAXED);
  note_stack();
  siglongjmp(recovery, 1);
}

static void *run_rounds(void *unused) {
  // Guard pages on both sides: who needs more than 8 KB is found out.
  char *room = mmap(NULL, kSize + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack = room + kPage;
  mprotect(stack, kSize, PROT_READ | PROT_WRITE);
  stack_t small = {.ss_sp = stack, .ss_size = kSize};
  if (sigaltstack(&small, NULL) != 0) exit(2);
  for (volatile int i = 0; i < rounds; ++i) {
    plain_work(round_ns);
    raise(SIGUSR1);
    if (sigsetjmp(recovery, 1) == 0) *(volatile char *)room = 1;
  }
  return unused;
}

int main(int argc, char **argv) {
  busy = argc > 1 && strcmp(argv[1], "busy") == 0;
  rounds = (int)argument(argc, argv, 2, 50);
  const int threads = (int)argument(argc, argv, 3, 0);
  round_ns = milliseconds((uint64_t)argument(argc, argv, 4, 20));
  struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
  struct sigaction segv = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &usr1, NULL);
  sigaction(SIGSEGV, &segv, NULL);
  pthread_t ids[kMostThreads];
  if (threads == 0) run_rounds(NULL);
  for (int i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, run_rounds, NULL);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("{\"usr1\": %d, \"segv\": %d, \"off_stack\": %d}\n", usr1_seen, segv_seen, off_stack);
}
