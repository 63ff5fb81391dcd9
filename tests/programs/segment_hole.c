// Shows a program whose segments leave a hole of 64 MB, which the kernel does not map: work_beyond() lies behind it, its unwind
// tables before it. Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer -Wl,--section-start=.beyond=0x4000000
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((noinline, section(".beyond"))) static double work_beyond(double seconds) {
  volatile double sum = 0;
  struct timespec t;
  do {
    for (int i = 0; i < 100000; ++i) sum = sum + i;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  } while (t.tv_sec + t.tv_nsec / 1e9 < seconds);
  return sum;
}

__attribute__((noinline)) static double calls_beyond(double seconds) { return work_beyond(seconds) + 1; }

int main(int argc, char** argv) {
  const double sum = calls_beyond(argc > 1 ? atof(argv[1]) : 1);
  printf("{\"done\": %d}\n", sum > 0);
}
