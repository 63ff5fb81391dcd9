// Shows a program that closes every file descriptor at start, standard ones too; its result is its exit code, 7.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "victim.h"

BURNER(closed_work, 6364136223846793005u)

int main(void) {
  close_range(0, ~0u, 0);
  closed_work(milliseconds(500));
  // The first descriptor must be ours to have: nothing else may have taken its number meanwhile.
  return open("/dev/null", O_RDONLY) == 0 ? 7 : 8;
}
