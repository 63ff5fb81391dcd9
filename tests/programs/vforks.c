// Shows a call whose return address is in a register while it waits: vfork takes it off the stack, which the child uses too. Argument: how many.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

NOT_INLINED static void makes_children(int count) {
  for (volatile int i = 0; i < count; ++i) {
    const pid_t child = vfork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
  }
}

int main(int argc, char **argv) {
  makes_children((int)argument(argc, argv, 1, 3000));
  puts("{}");
  return 0;
}
