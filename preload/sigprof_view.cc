#include "preload/sigprof_view.h"

#include <atomic>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "preload/cpu_sampling.h"
#include "preload/deadly_signals.h"
#include "preload/kernel_action.h"
#include "preload/program_memory.h"
#include "preload/real_symbols.h"
#include "preload/sigprof_handler.h"
#include "preload/unblocked_threads.h"

namespace prof {
namespace {

// Two, so that a handler finds one whole while the other is written. All zero: the default action.
struct sigaction g_views[2];
std::atomic<unsigned> g_view{0};

std::atomic<bool> g_is_read{false};  // by a descriptor of the program's

const struct sigaction& view() { return g_views[g_view.load(std::memory_order_acquire)]; }

void set_view(const struct sigaction& action) {
  const unsigned next = g_view.load(std::memory_order_relaxed) ^ 1;
  g_views[next] = action;
  g_view.store(next, std::memory_order_release);
}

void show(const struct sigaction& action) {
  struct sigaction now = {};
  real::sigaction()(SIGPROF, nullptr, &now);
  set_view(as_read_back(action, now.sa_restorer));
}

// As the kernel does it where a signal comes to be ignored, in every thread.
void drop_pending() {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  real::sigaction()(SIGPROF, &ignore, nullptr);
  sigprof_handle_again();
}

bool is_handler(const struct sigaction& action) { return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN; }

// The same flags and mask; SA_RESETHAND is seen to by give_sigprof_to_program, or a late tick would reset it.
void handle_as(const struct sigaction& action) {
  struct sigaction changed = action;
  changed.sa_flags &= ~static_cast<int>(SA_RESETHAND);
  sigprof_handle_as(changed);
}

}  // namespace

bool sigprof_is_ours() { return sigprof_is_handled(); }

void sigprof_view_begins(const struct sigaction& action) { set_view(action); }

bool program_handles_sigprof() { return is_handler(view()); }

bool program_reads_sigprof() { return g_is_read.load(std::memory_order_relaxed); }

int set_sigprof_view(const struct sigaction* action, struct sigaction* before) {
  const struct sigaction last = view();
  if (action != nullptr) {
    if (is_handler(*action)) {
      if (cpu_sampling_give_up())
        LogLine(log_level_of_program()) << "the program handles SIGPROF itself: CPU sampling ends here";
      show(*action);
      handle_as(*action);
    } else {
      show(*action);
      if (action->sa_handler == SIG_IGN) drop_pending();
    }
  }
  if (before != nullptr) *before = last;
  return 0;
}

bool program_ignores_sigprof() { return sigprof_is_ours() && view().sa_handler == SIG_IGN; }

void sigprof_before_exec() {
  if (view().sa_handler == SIG_IGN && sigprof_handler_is_in_place()) real::sigaction()(SIGPROF, &view(), nullptr);
}

void sigprof_after_exec() {
  if (program_ignores_sigprof()) sigprof_handle_again();
}

void give_sigprof_to_program(int number, siginfo_t* info, void* context) {
  const struct sigaction action = view();
  if (action.sa_handler == SIG_IGN || keep_for_who_waits(info, context)) return;
  if (action.sa_handler == SIG_DFL) {
    // All signals are blocked here, as the view has no handler.
    deadly_signal_has_come(SIGPROF, info, static_cast<ucontext_t*>(context));
    return;
  }
  if ((action.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) {
    struct sigaction once = action;
    once.sa_handler = SIG_DFL;
    set_view(once);
  }
  // Called last: it leaves no frame of ours in stacks, and nothing is undone behind a handler that jumps.
  if ((action.sa_flags & SA_SIGINFO) != 0) return action.sa_sigaction(number, info, context);
  action.sa_handler(number);
}

void program_reads_from_descriptor(const sigset_t* set) {
  if (!has_signal(set, SIGPROF)) return;
  g_is_read.store(true, std::memory_order_relaxed);
  if (sigprof_is_ours() && cpu_sampling_give_up())
    LogLine(log_level_of_program()) << "the program reads SIGPROF itself: CPU sampling ends here";
}

MaskWithSigprof::MaskWithSigprof(const sigset_t* mask) : mask_(mask) {
  if (mask == nullptr || !sigprof_is_ours() || !sigprof_is_used() || !is_readable(mask, sizeof(uint64_t))) return;
  // So much as the kernel would read.
  sigemptyset(&copy_);
  __builtin_memcpy(&copy_, mask, sizeof(uint64_t));
  sigaddset(&copy_, SIGPROF);
  mask_ = &copy_;
}

}  // namespace prof
