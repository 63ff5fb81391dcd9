// Shows work_first() for a given CPU time, sleeps, and ends as its third argument says: return, or exec (of itself, without work).
// Arguments: CPU seconds, seconds asleep, the end.
// build: -O2 -fomit-frame-pointer
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

BURNER(work_first, 6364136223846793005u)

int main(int argc, char **argv) {
  if (argc < 4) return 0;
  work_first(seconds(argument(argc, argv, 1, .2)));
  const uint64_t ns = seconds(argument(argc, argv, 2, 1));
  const struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  nanosleep(&time, NULL);
  printf("{}\n");
  fflush(stdout);
  if (strcmp(argv[3], "exec") == 0) execl("/proc/self/exe", argv[0], (char *)NULL);
  return 0;
}
