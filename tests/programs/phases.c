// Shows work early and late in a program's life: early_work() for a given CPU time; middle_work() until a file
// appears, or else for a given wall time; late_work() for half a second of CPU.
// Arguments: CPU seconds of the first; wall seconds of the second; the file or nothing.
// build: -O2 -fomit-frame-pointer
#include <stdio.h>
#include <unistd.h>

#include "victim.h"

BURNER(early_work, 6364136223846793005u)
BURNER(middle_work, 2862933555777941757u)
BURNER(late_work, 3202034522624059733u)

int main(int argc, char **argv) {
  uint64_t began = wall_ns();
  early_work(seconds(argument(argc, argv, 1, .5)));
  uint64_t early_over = wall_ns() - began;
  int seen = 0;
  while (wall_ns() - began < seconds(argument(argc, argv, 2, 2)) && !seen) {
    middle_work(milliseconds(20));
    seen = argc > 3 && access(argv[3], F_OK) == 0;
  }
  uint64_t late = late_work(milliseconds(500));
  printf("{\"early_over\": %llu, \"file_seen\": %d, \"late_work\": %llu}\n", (unsigned long long)early_over, seen,
         (unsigned long long)late);
}
