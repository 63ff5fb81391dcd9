// Shows a tight loop of calls through the PLT, of a function so small that many ticks fall into the stub.
// Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer -fno-builtin -fplt
#include <stdio.h>
#include <stdlib.h>

#include "victim.h"

NOT_INLINED long call_through_plt(uint64_t ns) {
  uint64_t start = thread_cpu_ns();
  long sum = 0;
  while (thread_cpu_ns() - start < ns) {
    for (long i = 0; i < 50000; ++i) sum += labs(-i);
  }
  return sum;
}

int main(int argc, char **argv) {
  long sum = call_through_plt(seconds(argument(argc, argv, 1, 1)));
  printf("{\"some\": %d, \"total\": %llu}\n", sum > 0, (unsigned long long)process_cpu_ns());
}
