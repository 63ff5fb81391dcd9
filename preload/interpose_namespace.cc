// unshare and setns, which the kernel refuses a process with more than one thread where a user namespace is concerned: the real ones, while
// the wall clock's thread is not there.

#include <sched.h>

#include "core/base/errno_saver.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/wall_sampling.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {

class WithoutWallThread {
 public:
  // Not in a child by vfork: the thread is its parent's.
  explicit WithoutWallThread(bool is_needed)
      : is_paused_(is_needed && prof::is_recording() && prof::wall_sampling_pause()) {}
  ~WithoutWallThread() {
    const prof::ErrnoSaver errno_saver;  // of the call
    if (is_paused_ && prof::is_recording()) prof::wall_sampling_resume();
  }
  WithoutWallThread(const WithoutWallThread&) = delete;
  WithoutWallThread& operator=(const WithoutWallThread&) = delete;

 private:
  bool is_paused_;
};

}  // namespace

extern "C" {

EXPORTED int unshare(int flags) {
  const WithoutWallThread around((static_cast<unsigned>(flags) & CLONE_NEWUSER) != 0);
  return prof::real::unshare()(flags);
}

EXPORTED int setns(int fd, int type) {
  const WithoutWallThread around(true);
  return prof::real::setns()(fd, type);
}

}  // extern "C"
