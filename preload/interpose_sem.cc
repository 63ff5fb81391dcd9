// Semaphores, barriers and spin locks: the real calls, with waits handed over. Callable at any time.

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "preload/lock_words.h"
#include "preload/real_symbols.h"
#include "preload/wait_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace real = prof::real;
using prof::is_positive;
using prof::WaitKind;

namespace {

// The error that ended a wait is in errno, which stays as the real call left it.
prof::Waited did_wait(int result) {
  if (result == 0) return prof::Waited::reached;
  return errno == ETIMEDOUT ? prof::Waited::timed_out : errno == EINTR ? prof::Waited::interrupted : prof::Waited::no;
}

// The barrier's answer to one of its threads, which with glibc is the one that came last; the others have 0.
prof::Waited did_wait_at_barrier(int result) {
  if (result == 0) return prof::Waited::reached;
  return result == PTHREAD_BARRIER_SERIAL_THREAD ? prof::Waited::was_last : prof::Waited::no;
}

// A spin lock is meant to be held for some instructions: to wait that long is its ordinary use.
constexpr int kSpinsBeforeWait = 100;

}  // namespace

EXPORTED int sem_wait(sem_t* semaphore) {
  const auto call = [=] { return real::sem_wait()(semaphore); };
  return is_positive(semaphore) ? call() : prof::waited(WaitKind::semaphore, semaphore, call, did_wait);
}

EXPORTED int sem_timedwait(sem_t* semaphore, const struct timespec* until) {
  const auto call = [=] { return real::sem_timedwait()(semaphore, until); };
  return is_positive(semaphore) ? call() : prof::waited(WaitKind::semaphore, semaphore, call, did_wait);
}

EXPORTED int sem_clockwait(sem_t* semaphore, clockid_t clock, const struct timespec* until) {
  const auto call = [=] { return real::sem_clockwait()(semaphore, clock, until); };
  return is_positive(semaphore) ? call() : prof::waited(WaitKind::semaphore, semaphore, call, did_wait);
}

EXPORTED int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
  const auto call = [=] { return real::pthread_barrier_wait()(barrier); };
  return prof::waited(WaitKind::barrier, barrier, call, did_wait_at_barrier);
}

EXPORTED int pthread_spin_lock(pthread_spinlock_t* lock) noexcept {
  for (int i = 0; i < kSpinsBeforeWait; ++i) {
    if (pthread_spin_trylock(lock) == 0) return 0;
    __builtin_ia32_pause();
  }
  const auto call = [=] { return real::pthread_spin_lock()(lock); };
  return prof::waited(WaitKind::spin_lock, const_cast<const int*>(lock), call,
                      [](int result) { return result == 0 ? prof::Waited::reached : prof::Waited::no; });
}
