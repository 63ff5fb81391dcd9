// Clocks in nanoseconds. Signal-safe.
#pragma once

#include <time.h>

#include <cstdint>

#include "core/base/raw_syscall.h"

namespace prof {

inline int64_t clock_ns(clockid_t clock) {
  struct timespec now = {};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The same by a system call. The C library reads the processor's counter, and a program may have forbidden that (PR_SET_TSC): in a handler
// that interrupts the program anywhere it would be killed for it.
inline int64_t clock_ns_by_kernel(clockid_t clock) {
  struct timespec now = {};
  raw_syscall(SYS_clock_gettime, clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

inline struct timespec timespec_of(int64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

// The period of the kernel's tick, at which POSIX CPU timers are looked at: what a coarse clock advances by.
inline int64_t kernel_tick_ns() {
  struct timespec tick = {};
  clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  return int64_t{tick.tv_sec} * 1'000'000'000 + tick.tv_nsec;
}

// The CPU clock of a thread of this process (kernel: include/linux/posix-timers.h, per-thread, scheduler clock).
inline clockid_t thread_cpu_clock(int tid) { return static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 6u); }
// Of that, what the kernel's ticks met in user mode: a timer on it comes at such a tick only.
inline clockid_t thread_user_clock(int tid) { return static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 5u); }
// … and in both modes.
inline clockid_t thread_ticked_clock(int tid) {
  return static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 4u);
}

}  // namespace prof
