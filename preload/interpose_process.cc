// exec, in all its forms: the real one, with the calling thread's clock stopped, an ignored PROF_SIGNAL ignored again, an environment
// that libprof goes along in, and what was recorded so far read by the reporter, where the exec is likely to succeed.
// Signal-safe, as exec is.

#include <alloca.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/cpu_sampling.h"
#include "preload/endings.h"
#include "preload/exec_environment.h"
#include "preload/executed_file.h"
#include "preload/handler_masks.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/sigprof_handler.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"
#include "preload/spool.h"
#include "preload/threads.h"
#include "preload/unblocked_threads.h"

extern "C" char** environ;

namespace {

class AroundExec {
 public:
  // is_likely: the file is there and may be executed, as far as is known. path: of the calls that leave what is no program to the caller, as
  // shells do: they go on, and run it themselves.
  explicit AroundExec(bool is_likely, const char* path = nullptr) {
    const bool may_go_on = path != nullptr && prof::spool_is_on() && !prof::begins_as_program(path);
    is_read_ = is_likely && prof::ending_before_exec(may_go_on);
    prof::snapshot_signal_before_exec();
    prof::sigprof_before_exec();
    // Not in a child by vfork: it has no clock, and its memory is the parent's.
    if (prof::sigprof_is_used() && prof::is_recording()) {
      slot_ = prof::slot_of_calling_thread();
      if (slot_ != nullptr) prof::cpu_sampling_pause_thread(slot_);
    }
    is_let_in_ = prof::sigprof_let_in();
    is_kept_out_ = prof::is_unblocked_thread();
    if (is_kept_out_) prof::sigprof_keep_out();
  }
  ~AroundExec() {
    const prof::ErrnoSaver errno_saver;  // of the exec that failed
    if (is_kept_out_) prof::sigprof_let_in_again();
    if (is_let_in_) prof::sigprof_keep_out();
    if (slot_ != nullptr) prof::cpu_sampling_resume_thread(slot_);
    prof::sigprof_after_exec();
    prof::snapshot_signal_after_exec();
    if (is_read_) prof::ending_exec_failed();
    prof::spool_exec_failed();
  }
  AroundExec(const AroundExec&) = delete;
  AroundExec& operator=(const AroundExec&) = delete;

 private:
  prof::ThreadSlot* slot_ = nullptr;
  bool is_read_ = false;
  bool is_let_in_ = false;
  bool is_kept_out_ = false;
};

bool is_found(const char* file) {
  prof::PathRoom room;
  return prof::find_executed(file, &room) != nullptr;
}

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
  const AroundExec around(prof::is_executable(path), path);
  return prof::with_exec_environment(
      prof::Executed::by_caller, environment, [path] { return prof::preloading_into(path); },
      [=](char* const* handed_on) { return prof::real::execve()(path, arguments, handed_on); });
}

EXPORTED int execv(const char* path, char* const* arguments) {
  const AroundExec around(prof::is_executable(path), path);
  return prof::with_exec_environment(
      prof::Executed::by_caller, environ, [path] { return prof::preloading_into(path); },
      [=](char* const* handed_on) {
        // The same function, where it can be: another library may stand behind it.
        if (handed_on == environ) return prof::real::execv()(path, arguments);
        return prof::real::execve()(path, arguments, handed_on);
      });
}

EXPORTED int execvp(const char* file, char* const* arguments) {
  const AroundExec around(is_found(file));
  return prof::with_exec_environment(
      prof::Executed::by_caller, environ, [file] { return prof::preloading_into_found(file); },
      [=](char* const* handed_on) {
        if (handed_on == environ) return prof::real::execvp()(file, arguments);
        return prof::real::execvpe()(file, arguments, handed_on);
      });
}

EXPORTED int execvpe(const char* file, char* const* arguments, char* const* environment) {
  const AroundExec around(is_found(file));
  return prof::with_exec_environment(
      prof::Executed::by_caller, environment, [file] { return prof::preloading_into_found(file); },
      [=](char* const* handed_on) { return prof::real::execvpe()(file, arguments, handed_on); });
}

EXPORTED int fexecve(int fd, char* const* arguments, char* const* environment) {
  // The C library refuses none, where the kernel takes it for an empty one.
  if (environment == nullptr) return prof::real::fexecve()(fd, arguments, environment);
  const AroundExec around(true);
  return prof::with_exec_environment(
      prof::Executed::by_caller, environment, [fd] { return prof::preloading_into(fd); },
      [=](char* const* handed_on) { return prof::real::fexecve()(fd, arguments, handed_on); });
}

EXPORTED int execveat(int fd, const char* path, char* const* arguments, char* const* environment, int flags) {
  // Which of the two it is, the kernel says: the path is not to be read here.
  const bool is_path = prof::is_executable(fd, path);
  const bool is_descriptor = !is_path && (flags & AT_EMPTY_PATH) != 0;
  const AroundExec around(is_path || is_descriptor);
  const auto preloading = [=] { return is_descriptor ? prof::preloading_into(fd) : prof::preloading_into(fd, path); };
  return prof::with_exec_environment(prof::Executed::by_caller, environment, preloading, [=](char* const* handed_on) {
    return prof::real::execveat()(fd, path, arguments, handed_on, flags);
  });
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
