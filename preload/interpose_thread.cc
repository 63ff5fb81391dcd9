// pthread_create: the real one, with a start routine that makes the thread known first. Normal code.
//
// The trampoline is compiled as a tail call, and libprof's own frames are left out of stacks in any case. It has no
// noexcept and no cleanup: pthread_exit and cancellation unwind through the host's frames only.

#include <pthread.h>

#include "preload/real_symbols.h"
#include "preload/threads.h"

extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*), void* argument) {
  prof::ThreadSlot* slot = prof::thread_is_created(attributes, start, argument);
  if (slot == nullptr) return prof::real::pthread_create()(thread, attributes, start, argument);
  const int result = prof::real::pthread_create()(thread, attributes, prof::start_thread, slot);
  if (result != 0) prof::thread_was_not_created(slot);
  return result;
}
