// unshare and setns, which the kernel refuses a process with more than one thread where a user or time namespace is concerned: then
// once more, while libprof's own threads are not there.

#include <errno.h>
#include <sched.h>
#include <sys/stat.h>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/helper_thread.h"
#include "preload/http_helper.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/wall_sampling.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {

class WithoutHelperThreads {
 public:
  // In this order: who is served over HTTP may have switched the wall clock on.
  WithoutHelperThreads() : is_http_paused_(prof::http_pause()), is_wall_paused_(prof::wall_sampling_pause()) {
    constexpr int kMostMilliseconds = 1000;
    prof::helpers_await_gone(kMostMilliseconds);  // the others have a look to finish
  }
  ~WithoutHelperThreads() {
    const prof::ErrnoSaver errno_saver;  // of the call
    if (is_wall_paused_) prof::wall_sampling_resume();
    if (is_http_paused_) prof::http_resume();
  }
  WithoutHelperThreads(const WithoutHelperThreads&) = delete;
  WithoutHelperThreads& operator=(const WithoutHelperThreads&) = delete;

 private:
  bool is_http_paused_;
  bool is_wall_paused_;
};

// Whether the program has one thread, as far as can be told. The links of the folder are two more than there are threads.
bool has_one_thread_besides_helpers() {
  struct stat st;
  return prof::raw_syscall(SYS_stat, "/proc/self/task", &st) != 0 || st.st_nlink <= 3 + prof::helpers_at_work();
}

// What the kernel says to a process with threads; nothing has been done then.
bool is_refusal_of_threads(int error) { return error == EINVAL || error == EUSERS; }

template <typename Call>
int call_without_helpers(bool may_need_one_thread, const Call& call) {
  const int error_before = errno;
  const int result = call();
  // Not in a child by vfork, which records nothing: the threads are its parent's.
  if (result == 0 || !may_need_one_thread || !is_refusal_of_threads(errno) || !prof::is_recording()) return result;
  const int error = errno;
  if (prof::helpers_at_work() == 0 || !has_one_thread_besides_helpers()) {
    errno = error;
    return result;
  }
  const WithoutHelperThreads around;
  errno = error_before;
  return call();
}

}  // namespace

extern "C" {

EXPORTED int unshare(int flags) {
  constexpr int kNeedOneThread = CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  return call_without_helpers((flags & kNeedOneThread) != 0, [=] { return prof::real::unshare()(flags); });
}

EXPORTED int setns(int fd, int type) {
  return call_without_helpers(true, [=] { return prof::real::setns()(fd, type); });
}

}  // extern "C"
