// Shows one function that burns a given CPU time, then a result: a line on stdout and an exit code.
// Arguments: CPU seconds, exit code.
// build: -O2 -fomit-frame-pointer
#include <stdio.h>

#include "victim.h"

BURNER(steady_work, 6364136223846793005u)

int main(int argc, char **argv) {
  uint64_t burned = steady_work(seconds(argument(argc, argv, 1, 1)));
  printf("{\"steady_work\": %llu, \"total\": %llu}\n", (unsigned long long)burned,
         (unsigned long long)process_cpu_ns());
  return (int)argument(argc, argv, 2, 0);
}
