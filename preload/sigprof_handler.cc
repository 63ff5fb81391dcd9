#include "preload/sigprof_handler.h"

#include <atomic>
#include <cstdint>

#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "preload/alternate_stack.h"
#include "preload/cpu_sampling.h"
#include "preload/deadly_signals.h"
#include "preload/handler_masks.h"
#include "preload/real_symbols.h"
#include "preload/ring_waits.h"
#include "preload/sigprof_view.h"
#include "preload/thread_clock.h"

namespace prof {
namespace {

std::atomic<bool> g_is_used{false};
std::atomic<int> g_handling_pid{0};  // the process whose handler is ours; 0: none

void on_sigprof(int number, siginfo_t* info, void* context) {
  if (!is_from_libprof(*info)) return give_sigprof_to_program(number, info, context);
  const ErrnoSaver errno_saver;
  cpu_sampling_meets_signal(*info, static_cast<ucontext_t*>(context));
}

void install() {
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO | SA_RESTART | on_alternate_stack();
  // None of the program's handlers runs on our scratch memory.
  sigfillset(&action.sa_mask);
  sigprof_handle_as(action);
}

}  // namespace

void sigprof_handle_as(const struct sigaction& action) {
  struct sigaction ours = action;
  ours.sa_sigaction = on_sigprof;
  ours.sa_flags |= SA_SIGINFO;
  real::sigaction()(SIGPROF, &ours, nullptr);
}

bool sigprof_take() {
  deadly_signal_leave(SIGPROF);
  struct sigaction before = {};
  real::sigaction()(SIGPROF, nullptr, &before);
  const bool is_ours_already = before.sa_sigaction == on_sigprof;
  const bool is_taken =
      is_ours_already ? program_handles_sigprof() : before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN;
  if (is_taken) {
    // Of a parent's it has been said there.
    if (!is_ours_already) LogLine(LogLevel::warn) << "another library handles SIGPROF already: no CPU profile";
    count_loss(LossCause::sigprof_taken);
    return false;
  }
  if (program_reads_sigprof()) {
    count_loss(LossCause::sigprof_taken);
    return false;
  }
  if (!is_ours_already) sigprof_view_begins(before);
  install();
  g_handling_pid.store(raw_getpid());
  g_is_used.store(true);
  handler_masks_follow();
  keep_ticks_out_of_ring_waits();
  return true;
}

bool sigprof_is_used() { return g_is_used.load(std::memory_order_relaxed); }

bool sigprof_give_up() { return g_is_used.exchange(false); }

void sigprof_handle_again() {
  if (sigprof_is_handled() && !program_handles_sigprof()) install();
}

bool sigprof_is_handled() {
  const int pid = g_handling_pid.load(std::memory_order_relaxed);
  return pid != 0 && pid == raw_getpid();
}

bool sigprof_handler_is_in_place() {
  struct sigaction now;
  return real::sigaction()(SIGPROF, nullptr, &now) == 0 && now.sa_sigaction == on_sigprof;
}

void send_sigprof_again(siginfo_t* info) {
  const int pid = raw_getpid();
  const int tid = raw_gettid();
  if (info->si_code == SI_TKILL) {
    raw_syscall(SYS_tgkill, pid, tid, SIGPROF);
  } else if (info->si_code < 0 || pid == tid) {
    raw_syscall(SYS_rt_sigqueueinfo, pid, SIGPROF, info);
  } else {
    // No other thread than the main one may say that another process sent it, or the kernel.
    raw_syscall(SYS_kill, pid, SIGPROF);
  }
}

bool drop_pending_ticks() {
  const uint64_t profiling = uint64_t{1} << (SIGPROF - 1);
  const struct timespec at_once = {0, 0};
  constexpr int kMost = 8;  // a perf event's, one of each timer, and the program's
  siginfo_t programs;
  bool is_programs = false;
  for (int i = 0; i < kMost; ++i) {
    siginfo_t info;
    if (raw_syscall(SYS_rt_sigtimedwait, &profiling, &info, &at_once, sizeof(profiling)) != SIGPROF) break;
    if (is_from_libprof(info)) continue;
    programs = info;
    is_programs = true;
  }
  if (is_programs) send_sigprof_again(&programs);
  return is_programs;
}

void sigprof_forked() {
  if (g_handling_pid.load() != 0) g_handling_pid.store(raw_getpid());
}

void sigprof_leave() {
  g_is_used.store(false);
  handler_masks_follow();
  if (!sigprof_is_handled() || program_handles_sigprof()) return;
  g_handling_pid.store(0);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  real::sigaction()(SIGPROF, &ignore, nullptr);
}

}  // namespace prof
