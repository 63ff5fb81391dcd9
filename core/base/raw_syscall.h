// System calls without libc: no errno, no cancellation point, no symbol that the host could interpose.
// Signal-safe. The result is the kernel's: negative is -errno.
#pragma once

#include <sys/syscall.h>

#include <cstdint>

namespace prof {

template <typename... Args>
inline long raw_syscall(long number, Args... args) {
  static_assert(sizeof...(Args) <= 6);
  const long a[6] = {(long)args...};  // NOLINT(google-readability-casting): pointers and integers alike
#if defined(__x86_64__)
  register long r10 asm("r10") = a[3];
  register long r8 asm("r8") = a[4];
  register long r9 asm("r9") = a[5];
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a[0];
  register long x1 asm("x1") = a[1];
  register long x2 asm("x2") = a[2];
  register long x3 asm("x3") = a[3];
  register long x4 asm("x4") = a[4];
  register long x5 asm("x5") = a[5];
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "libprof knows system calls of x86-64 and aarch64 only"
#endif
}

inline int raw_gettid() { return static_cast<int>(raw_syscall(SYS_gettid)); }
inline int raw_getpid() { return static_cast<int>(raw_syscall(SYS_getpid)); }

}  // namespace prof
