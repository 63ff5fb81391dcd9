// Shows code that belongs to no file and has no unwind information: a burner's loop copied into anonymous memory.
// Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "victim.h"

// for (x = 20 million; x; --x) without a frame: mov ecx, 20000000; dec ecx; jnz -4; ret
static const unsigned char loop[] = {0xb9, 0x00, 0x2d, 0x31, 0x01, 0xff, 0xc9, 0x75, 0xfc, 0xc3};

int main(int argc, char **argv) {
  unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, loop, sizeof loop);
  mprotect(code, 4096, PROT_READ | PROT_EXEC);
  uint64_t start = thread_cpu_ns(), wanted = seconds(argument(argc, argv, 1, .5));
  int calls = 0;
  for (; thread_cpu_ns() - start < wanted; ++calls) ((void (*)(void))code)();
  printf("{\"some\": %d}\n", calls > 0);
}
