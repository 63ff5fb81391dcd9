#include "preload/lone_thread.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/helper_thread.h"
#include "preload/http_helper.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/signals_blocked.h"
#include "preload/wall_sampling.h"

namespace prof {
namespace {

constexpr int kNewTime = 0x80;
std::atomic<bool> g_busy{false};

// With every signal blocked: a handler that jumped out, forked, or asked for a look would leave them paused, or bring another thread.
class WithoutHelperThreads {
 public:
  explicit WithoutHelperThreads(bool come_back) : come_back_(come_back) {
    // In this order: who is served over HTTP may have switched the wall clock on.
    is_http_paused_ = http_pause();
    is_wall_paused_ = wall_sampling_pause();
    constexpr int kMostMilliseconds = 1000;
    helpers_await_gone(kMostMilliseconds);  // the others have a look to finish
  }
  ~WithoutHelperThreads() {
    const ErrnoSaver errno_saver;  // of the call
    if (is_wall_paused_ && come_back_) wall_sampling_resume();
    if (is_http_paused_ && come_back_) http_resume();
  }
  WithoutHelperThreads(const WithoutHelperThreads&) = delete;
  WithoutHelperThreads& operator=(const WithoutHelperThreads&) = delete;

 private:
  const SignalsBlocked blocked_;  // the first to begin and the last to end
  const bool come_back_;
  bool is_http_paused_;
  bool is_wall_paused_;
};

// Whether the program has one thread, as far as can be told. The links of the folder are two more than there are threads.
bool has_one_thread_besides_helpers() {
  struct stat st;
  return raw_syscall(SYS_stat, "/proc/self/task", &st) != 0 || st.st_nlink <= 3 + helpers_there();
}

// What the kernel says to a process with threads; nothing has been done then.
bool is_refusal_of_threads(int error) { return error == EINVAL || error == EUSERS; }

bool may_need_one_thread(int flags) {
  constexpr int kNeedIt = CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  constexpr int kKnown = kNeedIt | kNewTime | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                         CLONE_NEWPID | CLONE_NEWNET | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
  return (flags & kNeedIt) != 0 && (flags & ~kKnown) == 0;
}

bool is_own_user_namespace(int fd) {
  struct stat own;
  struct stat other;
  return raw_syscall(SYS_stat, "/proc/thread-self/ns/user", &own) == 0 && raw_syscall(SYS_fstat, fd, &other) == 0 &&
         own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

// Of a namespace's file; of a process's (a pidfd) the kinds are named. What is refused for another reason stays so: programs try.
bool may_need_one_thread(int fd, int type) {
  constexpr int kNeedIt = CLONE_NEWUSER | kNewTime;
  const long kind = raw_syscall(SYS_ioctl, fd, NS_GET_NSTYPE);
  if (kind < 0) return (type & kNeedIt) != 0;
  return (kind & kNeedIt) != 0 && (type == 0 || type == kind) && !is_own_user_namespace(fd);
}

template <typename May, typename Call>
int call_without_helpers(const May& may_need_one_thread, const Call& call) {
  const int error_before = errno;
  const int result = call();
  // Not in a child by vfork, which records nothing: the threads are its parent's.
  if (result == 0 || !is_refusal_of_threads(errno) || !is_recording()) return result;
  const int error = errno;
  const bool is_for_helpers = may_need_one_thread() && helpers_there() != 0 && has_one_thread_besides_helpers();
  if (!is_for_helpers || g_busy.exchange(true)) {
    errno = error;
    return result;
  }
  const int second = [&] {
    const WithoutHelperThreads around(/*come_back=*/true);
    errno = error_before;
    return call();
  }();
  g_busy.store(false);
  return second;
}

}  // namespace

void helpers_leave() {
  if (helpers_there() == 0) return;
  const WithoutHelperThreads from_now_on(/*come_back=*/false);
}

int unshare_as_lone_thread(int flags) {
  return call_without_helpers([=] { return may_need_one_thread(flags); }, [=] { return real::unshare()(flags); });
}

int setns_as_lone_thread(int fd, int type) {
  return call_without_helpers([=] { return may_need_one_thread(fd, type); }, [=] { return real::setns()(fd, type); });
}

}  // namespace prof
