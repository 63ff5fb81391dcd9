// Closes every descriptor but stdout at its start, and opens files of its own under the numbers.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "burn.h"

int main(void) {
  for (int fd = 2; fd < 1024; ++fd) close(fd);
  const int fd = open("/dev/null", O_WRONLY);
  for (int i = 0; i < 40; ++i) dup(fd);
  BURN(1.0);
  printf("lowest %d\n", fd);
  return 0;
}
