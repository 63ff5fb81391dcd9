// Makes system calls by the C library's syscall(), which libprof stands before, for so many seconds of CPU time.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "victim.h"

NOT_INLINED void calls_bare(uint64_t ns) {
  const uint64_t ends = thread_cpu_ns() + ns;
  while (thread_cpu_ns() < ends)
    for (int i = 0; i < 1000; ++i) syscall(SYS_getppid);
  NOT_A_TAIL_CALL();
}

int main(int argc, char **argv) {
  calls_bare(seconds(argument(argc, argv, 1, 1)));
  printf("{}\n");
}
