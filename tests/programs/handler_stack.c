// Measures how deep SIGPROF's handler goes on a painted alternate stack, beside a handler that does nothing: both begin with the
// kernel's frame. Prints bytes, as a line of JSON. Argument: seconds of CPU time (0.5), in which the handler has ticks to take.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "victim.h"

enum { kSize = 64 << 10, kPaint = 0xa5 };

BURNER(leaf_work, 6364136223846793005u)

static unsigned char g_stack[kSize];

static void does_nothing(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  (void)context;
}

// Bytes from the top to the lowest one that was written.
static size_t depth(void) {
  size_t at = 0;
  while (at < kSize && g_stack[at] == kPaint) ++at;
  return kSize - at;
}

NOT_INLINED static uint64_t descend(int frames, uint64_t nanoseconds) {
  const uint64_t result = frames == 0 ? leaf_work(nanoseconds) : descend(frames - 1, nanoseconds);
  NOT_A_TAIL_CALL();
  return result;
}

int main(int argc, char **argv) {
  stack_t alternate = {.ss_sp = g_stack, .ss_size = kSize};
  if (sigaltstack(&alternate, NULL) != 0) return 2;
  struct sigaction action = {.sa_sigaction = does_nothing, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  // A tick that comes with the signal has its frame below that of the handler that does nothing: not each time.
  size_t empty = kSize;
  for (int i = 0; i < 20; ++i) {
    memset(g_stack, kPaint, kSize);
    raise(SIGUSR1);
    const size_t now = depth();
    if (now < empty) empty = now;
  }
  memset(g_stack, kPaint, kSize);
  descend(100, milliseconds((uint64_t)(1000 * (argc > 1 ? strtod(argv[1], NULL) : .5))));
  printf("{\"empty\": %zu, \"ticks\": %zu}\n", empty, depth());
  return 0;
}
