#include "preload/unblocked_threads.h"

#include <atomic>

#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "preload/handler_masks.h"
#include "preload/kernel_action.h"
#include "preload/recording.h"
#include "preload/sigprof_handler.h"

namespace prof {
namespace {

constexpr uint64_t kSigprof = signal_bit(SIGPROF);

std::atomic<bool> g_has_unblocked{false};
thread_local constinit bool t_is_unblocked = false;
// A child of vfork has a mask of its own, and its parent's memory: the one that has unblocked SIGPROF itself.
thread_local constinit int t_child_that_unblocks = 0;

}  // namespace

void unblock_thread(uint64_t mask, bool is_made_so) {
  const bool is_blocked = (mask & kSigprof) != 0;
  if (!is_blocked && !is_made_so) return;
  // Noted before: one that is pending for the process comes as soon as it is unblocked.
  if (is_made_so || !sigprof_is_kept_out(mask)) {
    t_is_unblocked = true;
    g_has_unblocked.store(true, std::memory_order_relaxed);
  }
  if (is_blocked) raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &kSigprof, nullptr, sizeof(kSigprof));
}

void block_thread_again() {
  if (!t_is_unblocked) return;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &kSigprof, nullptr, sizeof(kSigprof));
  t_is_unblocked = false;
}

bool is_unblocked_thread() {
  return t_is_unblocked && (t_child_that_unblocks == 0 || t_child_that_unblocks != raw_getpid());
}

bool sigprof_was_unblocked() { return g_has_unblocked.load(std::memory_order_relaxed); }

bool keep_for_who_waits(siginfo_t* info, void* context) {
  if (!is_unblocked_thread()) return false;
  t_is_unblocked = false;
  sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGPROF);
  send_sigprof_again(info);
  return true;
}

MaskOfUnblocked::MaskOfUnblocked(int how, const sigset_t** set) {
  if (*set == nullptr) return;
  const bool has = sigismember(*set, SIGPROF) == 1;
  ends_ = (how == SIG_UNBLOCK && has) || (how == SIG_SETMASK && !has);
  if (how == SIG_UNBLOCK || !has) return;
  sigemptyset(&changed_);
  __builtin_memcpy(&changed_, *set, sizeof(uint64_t));
  sigdelset(&changed_, SIGPROF);
  *set = &changed_;
}

void MaskOfUnblocked::is_changed(sigset_t* before) {
  if (before != nullptr) sigaddset(before, SIGPROF);
  if (!ends_) return;
  const bool is_child_of_vfork = g_region != nullptr && !is_recording();
  if (is_child_of_vfork) {
    t_child_that_unblocks = raw_getpid();
  } else {
    t_is_unblocked = false;
  }
}

}  // namespace prof
