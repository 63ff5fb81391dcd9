// Joins: the real calls, with waits handed over. A thread that has ended already is not waited for: tryjoin says so, and has the same
// errors.

#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include "preload/real_symbols.h"
#include "preload/wait_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace real = prof::real;

namespace {

prof::Waited did_wait(int result) {
  if (result == 0) return prof::Waited::reached;
  return result == ETIMEDOUT ? prof::Waited::timed_out : prof::Waited::no;
}

template <typename Call>
inline int join(pthread_t thread, void** result, Call call) {
  const int error = pthread_tryjoin_np(thread, result);
  if (error != EBUSY) return error;
  return prof::waited(prof::WaitKind::join, reinterpret_cast<const void*>(thread), call, did_wait);
}

}  // namespace

EXPORTED int pthread_join(pthread_t thread, void** result) {
  return join(thread, result, [=] { return real::pthread_join()(thread, result); });
}

EXPORTED int pthread_timedjoin_np(pthread_t thread, void** result, const struct timespec* until) {
  return join(thread, result, [=] { return real::pthread_timedjoin_np()(thread, result, until); });
}

EXPORTED int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const struct timespec* until) {
  // One that it does not know is an error, of a thread that has ended too.
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
    return real::pthread_clockjoin_np()(thread, result, clock, until);
  return join(thread, result, [=] { return real::pthread_clockjoin_np()(thread, result, clock, until); });
}

EXPORTED int thrd_join(thrd_t thread, int* result) {
  const auto call = [=] { return real::thrd_join()(thread, result); };
  return prof::waited(prof::WaitKind::join, reinterpret_cast<const void*>(thread), call,
                      [](int error) { return error == thrd_success ? prof::Waited::reached : prof::Waited::no; });
}
