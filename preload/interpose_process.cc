// exec, in all its forms: the real one, with the calling thread's clock stopped and an ignored PROF_SIGNAL ignored again.
// Signal-safe, as exec is.

#include <alloca.h>
#include <stdarg.h>
#include <unistd.h>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/cpu_sampling.h"
#include "preload/real_symbols.h"
#include "preload/snapshot_signal.h"
#include "preload/threads.h"

namespace {

class AroundExec {
 public:
  AroundExec() {
    prof::snapshot_signal_before_exec();
    // Not in a child by vfork: it has no clock, and its memory is the parent's.
    if (prof::g_region == nullptr || prof::g_region->pid != prof::raw_getpid() || !prof::cpu_sampling_has_sigprof())
      return;
    slot_ = prof::slot_of_calling_thread();
    if (slot_ != nullptr) prof::cpu_sampling_pause_thread(slot_);
  }
  ~AroundExec() {
    const prof::ErrnoSaver errno_saver;  // of the exec that failed
    if (slot_ != nullptr) prof::cpu_sampling_resume_thread(slot_);
    prof::snapshot_signal_after_exec();
  }
  AroundExec(const AroundExec&) = delete;
  AroundExec& operator=(const AroundExec&) = delete;

 private:
  prof::ThreadSlot* slot_ = nullptr;
};

}  // namespace

#define EXPORTED __attribute__((visibility("default")))

// The arguments of a list form as an array on the stack, as the C library itself makes it; `last` is left behind the final null.
#define ARGUMENT_ARRAY(first, array, last)                                  \
  va_list last;                                                             \
  va_start(last, first);                                                    \
  size_t count_ = 1;                                                        \
  while (va_arg(last, char*) != nullptr) ++count_;                          \
  va_end(last);                                                             \
  char** array = static_cast<char**>(alloca((count_ + 1) * sizeof(char*))); \
  array[0] = const_cast<char*>(first);                                      \
  va_start(last, first);                                                    \
  for (size_t i_ = 1; i_ <= count_; ++i_) array[i_] = va_arg(last, char*)

extern "C" {

EXPORTED int execve(const char* path, char* const* arguments, char* const* environment) {
  const AroundExec around;
  return prof::real::execve()(path, arguments, environment);
}

EXPORTED int execv(const char* path, char* const* arguments) {
  const AroundExec around;
  return prof::real::execv()(path, arguments);
}

EXPORTED int execvp(const char* file, char* const* arguments) {
  const AroundExec around;
  return prof::real::execvp()(file, arguments);
}

EXPORTED int execvpe(const char* file, char* const* arguments, char* const* environment) {
  const AroundExec around;
  return prof::real::execvpe()(file, arguments, environment);
}

EXPORTED int fexecve(int fd, char* const* arguments, char* const* environment) {
  const AroundExec around;
  return prof::real::fexecve()(fd, arguments, environment);
}

EXPORTED int execveat(int fd, const char* path, char* const* arguments, char* const* environment, int flags) {
  const AroundExec around;
  return prof::real::execveat()(fd, path, arguments, environment, flags);
}

EXPORTED int execl(const char* path, const char* first, ...) {
  ARGUMENT_ARRAY(first, arguments, last);
  va_end(last);
  return execv(path, arguments);
}

EXPORTED int execlp(const char* file, const char* first, ...) {
  ARGUMENT_ARRAY(first, arguments, last);
  va_end(last);
  return execvp(file, arguments);
}

EXPORTED int execle(const char* path, const char* first, ...) {
  ARGUMENT_ARRAY(first, arguments, last);
  char* const* environment = va_arg(last, char* const*);
  va_end(last);
  return execve(path, arguments, environment);
}

}  // extern "C"
