// Shows tail calls: first_hop() jumps to second_hop(), that jumps to tail_work(), whose caller is then
// call_the_chain().
// Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer -foptimize-sibling-calls
#include <stdio.h>

#include "victim.h"

BURNER(tail_work, 6364136223846793005u)

NOT_INLINED uint64_t second_hop(uint64_t ns) { return tail_work(ns + 2); }
NOT_INLINED uint64_t first_hop(uint64_t ns) { return second_hop(ns + 1); }

NOT_INLINED uint64_t call_the_chain(uint64_t ns) {
  uint64_t burned = first_hop(ns);
  NOT_A_TAIL_CALL();
  return burned;
}

int main(int argc, char **argv) {
  printf("{\"tail_work\": %llu}\n", (unsigned long long)call_the_chain(seconds(argument(argc, argv, 1, 1))));
}
