// Condition variables, pthread's and C11's: the real calls, with waits handed over. Callable at any time.
//
// A wait gives its mutex free and wants it back: the first is an unlock, the second a wait for the mutex, which begins with the
// signal (core/record/wait_table.h). The whole of it is one wait of the block profile, since it is one call.
//
// Those are cancellation points: none of our frames has a clean-up, and what is left open by a cancellation goes with the thread.
//
// pthread_cond_{wait,timedwait,signal,broadcast} are exported in the version that their present form has (exports.map): a program
// that was bound to the older form, which has another type behind it, reaches the C library past us.

#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include "preload/lock_words.h"
#include "preload/normal_mutex.h"
#include "preload/real_symbols.h"
#include "preload/wait_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace real = prof::real;

namespace {

const pthread_cond_t* inner(const cnd_t* condition) { return reinterpret_cast<const pthread_cond_t*>(condition); }
const pthread_mutex_t* inner(const mtx_t* mutex) { return reinterpret_cast<const pthread_mutex_t*>(mutex); }
const pthread_mutex_t* inner(const pthread_mutex_t* mutex) { return mutex; }

prof::Waited did_wait(int result) {
  if (result == 0 || result == EOWNERDEAD) return prof::Waited::reached;
  return result == ETIMEDOUT ? prof::Waited::timed_out : prof::Waited::no;
}
prof::Waited did_wait_c11(int result) {
  if (result == thrd_success) return prof::Waited::reached;
  return result == thrd_timedout ? prof::Waited::timed_out : prof::Waited::no;
}

template <typename Mutex, typename Call, typename DidWait>
inline int wait_on(const void* condition, const Mutex* mutex, Call call, DidWait counts) {
  if (prof::may_be_waited_for(mutex) || prof::is_slept_on(inner(mutex)))
    prof::unlock_is_over(prof::unlock_begins(mutex));
  return prof::waited(prof::WaitKind::condition, condition, call, counts, mutex);
}

// by_its_account: the same condition, as glibc's own type.
template <typename Call>
inline int wake(const void* condition, uint32_t most, const pthread_cond_t* by_its_account, Call call) {
  if (!prof::may_be_waited_for(condition)) return call();
  const prof::EndingWaits signal = prof::signal_begins(condition, most, prof::waiters_of(by_its_account));
  const int result = call();
  prof::signal_is_over(signal);
  return result;
}

}  // namespace

EXPORTED int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return wait_on(
      condition, mutex, [=] { return real::pthread_cond_wait()(condition, mutex); }, did_wait);
}

EXPORTED int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* until) {
  return wait_on(
      condition, mutex, [=] { return real::pthread_cond_timedwait()(condition, mutex, until); }, did_wait);
}

EXPORTED int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                    const struct timespec* until) {
  return wait_on(
      condition, mutex, [=] { return real::pthread_cond_clockwait()(condition, mutex, clock, until); }, did_wait);
}

EXPORTED int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  return wake(condition, 1, condition, [=] { return real::pthread_cond_signal()(condition); });
}

EXPORTED int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  return wake(condition, ~0u, condition, [=] { return real::pthread_cond_broadcast()(condition); });
}

EXPORTED int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return wait_on(
      condition, mutex, [=] { return real::cnd_wait()(condition, mutex); }, did_wait_c11);
}

EXPORTED int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const struct timespec* until) {
  return wait_on(
      condition, mutex, [=] { return real::cnd_timedwait()(condition, mutex, until); }, did_wait_c11);
}

EXPORTED int cnd_signal(cnd_t* condition) {
  return wake(condition, 1, inner(condition), [=] { return real::cnd_signal()(condition); });
}

EXPORTED int cnd_broadcast(cnd_t* condition) {
  return wake(condition, ~0u, inner(condition), [=] { return real::cnd_broadcast()(condition); });
}
