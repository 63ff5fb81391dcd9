// Threads made, and named. Normal code.
//
// pthread_create: the real one, with a start routine that makes the thread known first.
//
// The trampoline is compiled as a tail call, and libprof's own frames are left out of stacks in any case. It has no
// noexcept and no cleanup: pthread_exit and cancellation unwind through the host's frames only.

#include <pthread.h>
#include <sys/prctl.h>
#include <threads.h>

#include <cstdarg>

#include "core/record/thread_names.h"
#include "preload/real_symbols.h"
#include "preload/system_call_filter.h"
#include "preload/threads.h"

extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*), void* argument) {
  const prof::Ref creation = prof::thread_creation_begins(start);
  prof::ThreadSlot* slot = prof::thread_is_created(attributes, start, argument, creation);
  const int result = slot == nullptr ? prof::real::pthread_create()(thread, attributes, start, argument)
                                     : prof::real::pthread_create()(thread, attributes, prof::start_thread, slot);
  if (result == 0) {
    prof::thread_is_made(creation);
  } else if (slot != nullptr) {
    prof::thread_was_not_created(slot);
  }
  return result;
}

extern "C" __attribute__((visibility("default"))) int thrd_create(thrd_t* thread, thrd_start_t start, void* argument) {
  // Opaque until start_c11_thread gives it its type back.
  const auto opaque = reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void*>(start));
  const prof::Ref creation = prof::thread_creation_begins(opaque);
  prof::ThreadSlot* slot = prof::thread_is_created(nullptr, opaque, argument, creation);
  const int result = slot == nullptr ? prof::real::thrd_create()(thread, start, argument)
                                     : prof::real::thrd_create()(thread, prof::start_c11_thread, slot);
  if (result == thrd_success) {
    prof::thread_is_made(creation);
  } else if (slot != nullptr) {
    prof::thread_was_not_created(slot);
  }
  return result;
}

extern "C" __attribute__((visibility("default"))) int pthread_setattr_default_np(
    const pthread_attr_t* attributes) noexcept {
  const int result = prof::real::pthread_setattr_default_np()(attributes);
  prof::default_stack_changed();
  return result;
}

extern "C" __attribute__((visibility("default"))) int pthread_setname_np(pthread_t thread, const char* name) noexcept {
  const int result = prof::real::pthread_setname_np()(thread, name);
  prof::thread_names_changed();
  return result;
}

extern "C" __attribute__((visibility("default"))) int prctl(int option, ...) noexcept {
  // As glibc does: always four, whether the option takes them or not.
  va_list list;
  va_start(list, option);
  const auto a = va_arg(list, unsigned long);
  const auto b = va_arg(list, unsigned long);
  const auto c = va_arg(list, unsigned long);
  const auto d = va_arg(list, unsigned long);
  va_end(list);
  if (option == PR_SET_SECCOMP) prof::before_system_call_filter(a, reinterpret_cast<const void*>(b));
  const int result = prof::real::prctl()(option, a, b, c, d);
  if (option == PR_SET_NAME) prof::thread_names_changed();
  return result;
}
