// Mutexes, pthread's and C11's: the real calls, with waits handed over. Callable at any time.
//
// A normal mutex is taken and given free here (normal_mutex.h); the real call comes in where somebody waits. Of the other kinds one that
// is free goes straight to the real lock: one look at a word more. One that is held is tried once more first, since the look may mean
// something else (a recursive lock): what does not come back with EBUSY did not wait.

#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include "preload/lock_words.h"
#include "preload/normal_mutex.h"
#include "preload/real_locks.h"
#include "preload/real_symbols.h"
#include "preload/wait_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace real = prof::real;
using prof::g_real_locks;
using prof::is_free;
using prof::WaitKind;

namespace {

pthread_mutex_t* inner(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }

prof::Waited did_wait(int result) {
  if (result == 0) return prof::Waited::reached;
  if (result == EOWNERDEAD) return prof::Waited::owner_died;
  return result == ETIMEDOUT ? prof::Waited::timed_out : prof::Waited::no;
}
prof::Waited did_wait_c11(int result) {
  if (result == thrd_success) return prof::Waited::reached;
  return result == thrd_timedout ? prof::Waited::timed_out : prof::Waited::no;
}

// The look-ups that find nothing but a free lock are kept small: the rest is out of their way.
template <typename Call>
__attribute__((noinline)) int lock_held(pthread_mutex_t* mutex, Call call) {
  if (prof::may_be_tried(mutex)) {
    const int result = pthread_mutex_trylock(mutex);
    if (result != EBUSY) return result;
  } else if (prof::is_own_recursive(mutex, prof::wait_thread())) {
    return call();
  }
  return prof::waited(WaitKind::mutex, mutex, call, did_wait);
}

__attribute__((noinline)) int lock_held_normal(pthread_mutex_t* mutex) {
  return prof::waited(
      WaitKind::mutex, mutex, [mutex] { return g_real_locks.mutex_lock(mutex); }, did_wait);
}

template <typename Call>
__attribute__((noinline)) int lock_held_c11(mtx_t* mutex, Call call) {
  const int result = mtx_trylock(mutex);
  if (result != thrd_busy) return result;
  return prof::waited(WaitKind::mutex, mutex, call, did_wait_c11);
}

template <typename Call>
__attribute__((noinline)) int unlock_waited_for(pthread_mutex_t* mutex, Call call) {
  if (prof::stays_locked(mutex)) return call();
  const prof::EndingWaits unlock = prof::unlock_begins(mutex);
  const int result = call();
  if (result == 0) prof::unlock_is_over(unlock);
  return result;
}

// Somebody may wait. What they have waited is known before they can have the mutex: reported later, by a thread that the one it woke has
// taken the processor from, it would be in that one's account, whose own unlock comes first. The stack is taken afterwards.
__attribute__((noinline)) int unlock_normal_waited_for(pthread_mutex_t* mutex) {
  const prof::EndingWaits unlock = prof::unlock_begins(mutex);
  if (prof::release_normal(mutex)) prof::wake_one(mutex);
  prof::unlock_is_over(unlock);
  return 0;
}

}  // namespace

EXPORTED int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  if (prof::is_normal(mutex)) [[likely]]
    return prof::take_normal(mutex) ? 0 : lock_held_normal(mutex);
  if (is_free(mutex)) [[likely]]
    return g_real_locks.mutex_lock(mutex);
  return lock_held(mutex, [mutex] { return g_real_locks.mutex_lock(mutex); });
}

EXPORTED int pthread_mutex_timedlock(pthread_mutex_t* mutex, const struct timespec* until) noexcept {
  if (is_free(mutex)) [[likely]]
    return real::pthread_mutex_timedlock()(mutex, until);
  return lock_held(mutex, [=] { return real::pthread_mutex_timedlock()(mutex, until); });
}

EXPORTED int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const struct timespec* until) noexcept {
  const auto call = [=] { return real::pthread_mutex_clocklock()(mutex, clock, until); };
  // Refuses a clock that it does not know before it looks at the lock.
  const bool is_known = clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME;
  return is_free(mutex) || !is_known ? call() : lock_held(mutex, call);
}

EXPORTED int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  if (prof::is_normal(mutex)) [[likely]] {
    if (prof::may_be_waited_for(mutex) || prof::has_sleeper(mutex)) [[unlikely]]
      return unlock_normal_waited_for(mutex);
    // Who came in between has waited for nobody yet.
    if (prof::release_normal(mutex)) prof::wake_one(mutex);
    return 0;
  }
  if (!prof::may_be_waited_for(mutex)) [[likely]]
    return g_real_locks.mutex_unlock(mutex);
  return unlock_waited_for(mutex, [mutex] { return g_real_locks.mutex_unlock(mutex); });
}

EXPORTED int mtx_lock(mtx_t* mutex) {
  const auto call = [mutex] { return real::mtx_lock()(mutex); };
  return is_free(inner(mutex)) ? call() : lock_held_c11(mutex, call);
}

EXPORTED int mtx_timedlock(mtx_t* mutex, const struct timespec* until) {
  const auto call = [=] { return real::mtx_timedlock()(mutex, until); };
  return is_free(inner(mutex)) ? call() : lock_held_c11(mutex, call);
}

EXPORTED int mtx_unlock(mtx_t* mutex) {
  const auto call = [mutex] { return real::mtx_unlock()(mutex); };
  const bool is_waited_for = prof::may_be_waited_for(mutex) || prof::is_slept_on(inner(mutex));
  return is_waited_for ? unlock_waited_for(inner(mutex), call) : call();
}
