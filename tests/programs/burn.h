// Burns a given CPU time of the calling thread, and tells how much it really was.
#pragma once
#include <time.h>

static inline double thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// A macro: the work must be in the function that is to be seen. 2000 rounds are about a microsecond.
#define BURN(seconds)                                   \
  do {                                                  \
    const double end_ = thread_cpu() + (seconds);       \
    while (thread_cpu() < end_) {                       \
      for (volatile int i_ = 0; i_ < 20000; ++i_) {     \
      }                                                 \
    }                                                   \
  } while (0)
