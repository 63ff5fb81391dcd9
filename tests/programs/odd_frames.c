// Shows frames whose size is not known to the compiler (alloca) and frames that are realigned (over-aligned locals,
// with alloca beside them: their caller's frame is found through a saved register), each above a burner.
// Argument: CPU seconds of each.
// build: -O2 -fomit-frame-pointer
#include <alloca.h>
#include <stdio.h>
#include <string.h>

#include "victim.h"

BURNER(below_variable, 6364136223846793005u)
BURNER(below_aligned, 2862933555777941757u)
BURNER(below_both, 3202034522624059733u)

#define KEEP(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

NOT_INLINED uint64_t variable_frame(int size, uint64_t ns) {
  char *room = alloca(size);
  memset(room, 1, size);
  KEEP(room);
  uint64_t burned = below_variable(ns);
  KEEP(room);
  return burned;
}

NOT_INLINED uint64_t aligned_frame(uint64_t ns) {
  _Alignas(64) char vector[128];
  memset(vector, 1, sizeof vector);
  KEEP(vector);
  uint64_t burned = below_aligned(ns);
  KEEP(vector);
  return burned;
}

NOT_INLINED uint64_t aligned_variable_frame(int size, uint64_t ns, int a, int b, int c, int d, int on_stack) {
  _Alignas(64) char vector[64];
  char *room = alloca(size + a + b + c + d + on_stack);
  memset(room, 1, size);
  memset(vector, 2, sizeof vector);
  KEEP(room);
  KEEP(vector);
  uint64_t burned = below_both(ns);
  KEEP(vector);
  return burned + (uint64_t)on_stack;
}

int main(int argc, char **argv) {
  uint64_t ns = seconds(argument(argc, argv, 1, .5));
  uint64_t one = variable_frame(1000 + argc, ns);
  uint64_t two = aligned_frame(ns);
  uint64_t three = aligned_variable_frame(500 + argc, ns, 1, 2, 3, 4, 0);
  printf("{\"below_variable\": %llu, \"below_aligned\": %llu, \"below_both\": %llu}\n", (unsigned long long)one,
         (unsigned long long)two, (unsigned long long)three);
}
