// Reader-writer locks: the real calls, with waits handed over. As interpose_mutex.cc.
//
// Readers that hold off a writer are charged by the last one's unlock: it is the one that ends the wait.

#include <errno.h>
#include <pthread.h>

#include "preload/lock_words.h"
#include "preload/real_locks.h"
#include "preload/real_symbols.h"
#include "preload/wait_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace real = prof::real;
using prof::g_real_locks;
using prof::is_free_to_read;
using prof::is_free_to_write;
using prof::WaitKind;

namespace {

prof::Waited did_wait(int result) {
  if (result == 0) return prof::Waited::reached;
  return result == ETIMEDOUT ? prof::Waited::timed_out : prof::Waited::no;
}
bool is_known(clockid_t clock) { return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME; }

template <typename Call>
__attribute__((noinline)) int read_held(pthread_rwlock_t* lock, Call call) {
  const int result = pthread_rwlock_tryrdlock(lock);
  return result != EBUSY ? result : prof::waited(WaitKind::read_lock, lock, call, did_wait);
}

template <typename Call>
__attribute__((noinline)) int write_held(pthread_rwlock_t* lock, Call call) {
  const int result = pthread_rwlock_trywrlock(lock);
  return result != EBUSY ? result : prof::waited(WaitKind::write_lock, lock, call, did_wait);
}

__attribute__((noinline)) int unlock_waited_for(pthread_rwlock_t* lock) {
  if (prof::stays_read(lock)) return g_real_locks.rwlock_unlock(lock);
  const prof::EndingWaits unlock = prof::unlock_begins(lock);
  const int result = g_real_locks.rwlock_unlock(lock);
  if (result == 0) prof::unlock_is_over(unlock);
  return result;
}

}  // namespace

EXPORTED int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  const auto call = [lock] { return g_real_locks.rwlock_rdlock(lock); };
  return is_free_to_read(lock) ? call() : read_held(lock, call);
}

EXPORTED int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  const auto call = [lock] { return g_real_locks.rwlock_wrlock(lock); };
  return is_free_to_write(lock) ? call() : write_held(lock, call);
}

// These refuse a time that is none, and a clock that they do not know, before they look at the lock; in a wait they do it again.
EXPORTED int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const struct timespec* until) noexcept {
  const auto call = [=] { return real::pthread_rwlock_timedrdlock()(lock, until); };
  return is_free_to_read(lock) ? call() : prof::waited(WaitKind::read_lock, lock, call, did_wait);
}

EXPORTED int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const struct timespec* until) noexcept {
  const auto call = [=] { return real::pthread_rwlock_timedwrlock()(lock, until); };
  return is_free_to_write(lock) ? call() : prof::waited(WaitKind::write_lock, lock, call, did_wait);
}

EXPORTED int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock,
                                        const struct timespec* until) noexcept {
  const auto call = [=] { return real::pthread_rwlock_clockrdlock()(lock, clock, until); };
  if (is_free_to_read(lock) || !is_known(clock)) return call();
  return prof::waited(WaitKind::read_lock, lock, call, did_wait);
}

EXPORTED int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock,
                                        const struct timespec* until) noexcept {
  const auto call = [=] { return real::pthread_rwlock_clockwrlock()(lock, clock, until); };
  if (is_free_to_write(lock) || !is_known(clock)) return call();
  return prof::waited(WaitKind::write_lock, lock, call, did_wait);
}

EXPORTED int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  if (!prof::may_be_waited_for(lock)) [[likely]]
    return g_real_locks.rwlock_unlock(lock);
  return unlock_waited_for(lock);
}
