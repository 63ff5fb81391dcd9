// Shows code made at run time, named in /tmp/perf-PID.map as JIT compilers do, which stays there: jit_work, called for 0.5 s of CPU.
// Arguments: what stands before the map's numbers ("" or "0x"); 1 if the code is unmapped before the end. Prints its pid.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// mov $1000000, %ecx; 1: dec %ecx; jnz 1b; ret
static const unsigned char kCode[] = {0xb9, 0x40, 0x42, 0x0f, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0xc3};

int main(int argc, char** argv) {
  const char* prefix = argc > 1 ? argv[1] : "";
  void* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  memcpy(code, kCode, sizeof kCode);
  char path[64];
  snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
  FILE* map = fopen(path, "w");
  if (map == NULL) return 1;
  fprintf(map, "no line of code\n0x\n%s%lx\n%s%lx %s%x jit_work\n%s1000 zz not_a_size\n", prefix, (unsigned long)code,
          prefix, (unsigned long)code, prefix, (unsigned)sizeof kCode, prefix);
  fclose(map);
  void (*work)(void);
  memcpy(&work, &code, sizeof work);
  struct timespec t;
  do {
    work();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  } while (t.tv_sec == 0 && t.tv_nsec < 500000000);
  if (argc > 2 && argv[2][0] == '1') munmap(code, 4096);
  printf("{\"pid\": %d}\n", (int)getpid());
}
