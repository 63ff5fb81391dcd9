// Shows a loop in the vdso: clock_gettime, called by ask_the_time().
// Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer
#include <stdio.h>

#include "victim.h"

NOT_INLINED uint64_t ask_the_time(uint64_t ns) {
  uint64_t start = thread_cpu_ns(), calls = 0;
  struct timespec now;
  while (thread_cpu_ns() - start < ns) {
    for (int i = 0; i < 5000; ++i) calls += clock_gettime(CLOCK_MONOTONIC, &now) == 0;
  }
  return calls;
}

int main(int argc, char **argv) {
  uint64_t calls = ask_the_time(seconds(argument(argc, argv, 1, 1)));
  printf("{\"all\": %d, \"total\": %llu}\n", calls % 5000 == 0, (unsigned long long)process_cpu_ns());
}
