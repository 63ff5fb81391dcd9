// What glibc keeps of a lock in its public type (bits/struct_mutex.h, bits/struct_rwlock.h): whether a call would have to wait. A
// look only: it may be otherwise a moment later, and then a wait goes unnoticed or a call is noted that did not wait.
//
// Read only from within a call on that lock, which keeps it alive. Signal-safe.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <cstdint>

namespace prof {

// By the owner's field, which every kind of mutex sets. Not by __lock: to read a word right after the locked instruction of the
// last unlock costs 3 ns beside other threads; this costs nothing.
inline bool is_free(const pthread_mutex_t* mutex) {
  return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED) == 0;
}

// Whether this thread has it already and may lock it again.
inline bool is_own_recursive(const pthread_mutex_t* mutex, int tid) {
  constexpr int kKindMask = 3;
  constexpr unsigned kTidMask = 0x3fff'ffff;  // FUTEX_TID_MASK
  return (mutex->__data.__kind & kKindMask) == PTHREAD_MUTEX_RECURSIVE_NP &&
         (static_cast<unsigned>(mutex->__data.__owner) & kTidMask) == static_cast<unsigned>(tid);
}

// Whether trylock answers as lock does, but for the wait. Robust mutexes, and those with a protocol, have their exceptions (a trylock
// of one that is not recoverable leaves it locked).
inline bool may_be_tried(const pthread_mutex_t* mutex) {
  constexpr int kRobustOrProtocol = 16 | 32 | 64;  // of __kind
  return (mutex->__data.__kind & kRobustOrProtocol) == 0;
}

// An unlock of a recursive one that stays locked. Read by its owner.
inline bool stays_locked(const pthread_mutex_t* mutex) {
  constexpr int kKindMask = 3;  // of __kind: normal, recursive, error-checking, adaptive
  return (mutex->__data.__kind & kKindMask) == PTHREAD_MUTEX_RECURSIVE_NP && mutex->__data.__count > 1;
}

// __readers: bit 0: writers' phase; bit 1: a writer has it or waits for it; the readers from bit 3 on.
inline constexpr unsigned kWriterLocked = 2;
inline constexpr unsigned kReaderShift = 3;

inline unsigned readers_word(const pthread_rwlock_t* lock) {
  return __atomic_load_n(&lock->__data.__readers, __ATOMIC_RELAXED);
}
// Readers wait for a writer that is in; where writers are preferred, also for one that waits. (Not by the readers' word where that can
// be helped: see is_free().)
inline bool is_free_to_read(const pthread_rwlock_t* lock) {
  if (lock->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) {
    return (readers_word(lock) & kWriterLocked) == 0;
  }
  return __atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED) == 0;
}
inline bool is_free_to_write(const pthread_rwlock_t* lock) {
  return (readers_word(lock) & kWriterLocked) == 0 && readers_word(lock) >> kReaderShift == 0;
}
// An unlock by a reader that leaves others in.
inline bool stays_read(const pthread_rwlock_t* lock) {
  return __atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED) == 0 && readers_word(lock) >> kReaderShift > 1;
}

// How many wait for a condition that a signal of this process may wake: __wrefs has them from bit 3 on; bit 0: shared with other processes,
// whose signals and waiters are not known here.
inline uint32_t waiters_of(const pthread_cond_t* condition) {
  const unsigned word = __atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED);
  return (word & 1) != 0 ? 0 : word >> 3;
}

// The value is the lower half of the semaphore's first 8 bytes (64-bit glibc).
inline bool is_positive(const sem_t* semaphore) {
  return __atomic_load_n(reinterpret_cast<const uint32_t*>(semaphore), __ATOMIC_RELAXED) != 0;
}

}  // namespace prof
