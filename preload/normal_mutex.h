// A normal mutex (PTHREAD_MUTEX_INITIALIZER's kind, and std::mutex's), taken and given free as glibc does it, without calling glibc where
// nobody has to wait or to be woken. Signal-safe wherever the real calls are; keeps errno.
//
// Why: whoever only hands a call on makes a lock and unlock dearer by 1.7 ns. Done here it costs nothing, since glibc's own work is left
// out; and an unlock learns by its own exchange whether somebody sleeps, so that what it is charged with is worked out when the lock is
// free already, not while others wait for it.
//
// The protocol is that of glibc's lowlevellock (0: free, 1: held, 2: held and somebody may sleep on it; Drepper, "Futexes Are Tricky"),
// the fields are those of the public bits/struct_mutex.h, so that glibc's calls and these take turns on one mutex. normal_mutex_start()
// tries whether the C library here does the same; where it does not, every mutex goes to the real calls.
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <sys/single_threaded.h>

#include <climits>

#include "core/base/raw_syscall.h"

namespace prof {

// The __kind of the mutexes that are taken here; one that no mutex has, where none are.
inline constexpr int kNoMutexKind = INT_MIN;  // not -1: that is a destroyed one's
// In the kind of one that was asked for as PTHREAD_MUTEX_NORMAL; glibc treats both alike where it elides no locks.
inline constexpr int kNoElision = 512;
extern __attribute__((visibility("hidden"))) int g_normal_kind;

// Tries the C library, and switches this on. Normal code, in libprof's constructor; before it, and where it answers false, is_normal() is
// false for every mutex.
bool normal_mutex_start();

// False also for shared, robust and priority mutexes, which have bits of their own there.
inline bool is_normal(const pthread_mutex_t* mutex) {
  const int kind = mutex->__data.__kind;
  if (kind == g_normal_kind) [[likely]]
    return true;
  return kind == (g_normal_kind | kNoElision);
}

// As glibc keeps it in the thread's descriptor (its own calls read it there; after a fork it is the child's).
inline int tid_in_descriptor() {
  constexpr int kOffset = 0x2d0;  // of struct pthread; normal_mutex_start() compares
  int tid;
  asm("movl %%fs:%c1, %0" : "=r"(tid) : "i"(kOffset));
  return tid;
}

// Without a system call, where it is known how.
inline int tid_of_this_thread() { return g_normal_kind != kNoMutexKind ? tid_in_descriptor() : raw_gettid(); }

// Of a normal one. False: it is held.
inline bool take_normal(pthread_mutex_t* mutex) {
  auto& data = mutex->__data;
  if (__libc_single_threaded) {
    if (data.__lock != 0) return false;
    data.__lock = 1;
  } else {
    int free = 0;
    if (!__atomic_compare_exchange_n(&data.__lock, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return false;
  }
  data.__owner = tid_in_descriptor();
  ++data.__nusers;
  return true;
}

// True: wake_one() is to follow. The mutex may be gone as soon as this returns.
inline bool release_normal(pthread_mutex_t* mutex) {
  auto& data = mutex->__data;
  data.__owner = 0;
  --data.__nusers;
  if (__libc_single_threaded) {
    data.__lock = 0;
    return false;
  }
  return __atomic_exchange_n(&data.__lock, 0, __ATOMIC_RELEASE) > 1;
}

// By its address alone.
inline void wake_one(pthread_mutex_t* mutex) {
  raw_syscall(SYS_futex, &mutex->__data.__lock, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

// Whether somebody sleeps on one that this thread has. Of a normal one, and of any.
inline bool has_sleeper(const pthread_mutex_t* mutex) {
  return __atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) > 1;
}
inline bool is_slept_on(const pthread_mutex_t* mutex) { return is_normal(mutex) && has_sleeper(mutex); }

}  // namespace prof
