// What the victims share: work whose CPU time they measure themselves. Plain C and C++; every function is safe
// anywhere.
//
// A BURNER is a function of its own, with a loop that no other function has (identical functions would be folded) and a
// clock reading every 100 µs or so: nearly all of its time is its own, and it ends within that of the time asked for.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#if defined(__clang__)
#define NOT_INLINED __attribute__((noinline))
#else
#define NOT_INLINED __attribute__((noinline, noclone))
#endif

#ifdef __cplusplus
#define PLAIN_NAME extern "C"
#else
#define PLAIN_NAME
#endif

// After a call, keeps it from becoming a jump.
#define NOT_A_TAIL_CALL() __asm__ volatile("" ::: "memory")

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
static inline uint64_t process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
static inline uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

// Burns `ns` of the calling thread's CPU time, and returns what it really was.
#define BURNER(name, multiplier)                                  \
  PLAIN_NAME NOT_INLINED uint64_t name(uint64_t ns) {             \
    uint64_t start = thread_cpu_ns(), now = start, x = start | 1; \
    while (now - start < ns) {                                    \
      for (int i = 0; i < 60000; ++i) {                           \
        x = x * (multiplier) + 12345;                             \
        __asm__ volatile("" : "+r"(x));                           \
      }                                                           \
      now = thread_cpu_ns();                                      \
    }                                                             \
    return now - start;                                           \
  }

static inline uint64_t milliseconds(uint64_t n) { return n * 1000000u; }
static inline uint64_t seconds(double n) { return (uint64_t)(n * 1e9); }

// The next of a fixed sequence of numbers: the same slices in every run.
static inline uint32_t next_number(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

// The argument at `index`, or what stands for it.
static inline double argument(int argc, char **argv, int index, double otherwise) {
  return index < argc ? atof(argv[index]) : otherwise;
}
