// Shows a program with an alternate signal stack of 8 KB, its own handlers for SIGUSR1 and SIGSEGV on it.
// Argument: `brief` handlers, or `busy` ones: those burn CPU on the small stack, where ticks then find them.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "victim.h"

enum { kSize = 8192, kPage = 4096 };

BURNER(plain_work, 6364136223846793005u)
BURNER(handler_work, 2862933555777941757u)

static int busy, usr1_seen, segv_seen, off_stack;
static char *stack;
static sigjmp_buf recovery;

static void note_stack(void) {
  char here;
  if (&here < stack || &here >= stack + kSize) ++off_stack;
}

static void on_usr1(int number) {
  (void)number;
  ++usr1_seen;
  note_stack();
  if (busy) handler_work(milliseconds(20));
}

static void on_segv(int number) {
  (void)number;
  ++segv_seen;
  note_stack();
  siglongjmp(recovery, 1);
}

int main(int argc, char **argv) {
  busy = argc > 1 && strcmp(argv[1], "busy") == 0;
  // Guard pages on both sides: who needs more than 8 KB is found out.
  char *room = mmap(NULL, kSize + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack = room + kPage;
  mprotect(stack, kSize, PROT_READ | PROT_WRITE);
  stack_t small = {.ss_sp = stack, .ss_size = kSize};
  if (sigaltstack(&small, NULL) != 0) return 2;
  struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
  struct sigaction segv = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &usr1, NULL);
  sigaction(SIGSEGV, &segv, NULL);
  for (volatile int i = 0; i < 50; ++i) {
    plain_work(milliseconds(20));
    raise(SIGUSR1);
    if (sigsetjmp(recovery, 1) == 0) *(volatile char *)room = 1;
  }
  printf("{\"usr1\": %d, \"segv\": %d, \"off_stack\": %d}\n", usr1_seen, segv_seen, off_stack);
}
