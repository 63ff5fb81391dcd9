#include "preload/snapshot_signal.h"

#include <atomic>

#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "preload/alternate_stack.h"
#include "preload/deadly_signals.h"
#include "preload/kernel_action.h"
#include "preload/program_memory.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"

namespace prof {
namespace {

constexpr int64_t kLeaveToProgramNs = 200'000'000;

std::atomic<int64_t> g_pending_since_ns{0};  // 0: it was not pending when last looked
std::atomic<int> g_number{0};                // 0: none, or the program's
void (*g_wanted)() = nullptr;
bool g_is_asked_for = false;
struct sigaction g_view;  // all zero: the default action

thread_local constinit int64_t t_polled_ns = 0;  // by the coarse clock: when this thread looked last

void on_signal(int, siginfo_t*, void*) {
  const ErrnoSaver errno_saver;
  if (g_number.load(std::memory_order_relaxed) != 0) g_wanted();
}

// A child of vfork has handlers of its own, and its parent's memory.
bool shares_memory() { return g_region != nullptr && !is_recording(); }

void install(int number) {
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | on_alternate_stack();
  sigfillset(&action.sa_mask);
  real::sigaction()(number, &action, nullptr);
}

void step_back(int number, const char* why) {
  if (g_number.exchange(0) == 0) return;
  deadly_signal_is_free(number);
  LogLine(g_is_asked_for ? log_level_of_program() : LogLevel::info)
      << "PROF_SIGNAL: the program " << why << " signal " << number
      << " itself: no snapshots by it; choose another signal";
}

}  // namespace

void snapshot_signal_start(int number, bool is_asked_for, void (*wanted)()) {
  if (number == 0) return;
  g_wanted = wanted;
  g_is_asked_for = is_asked_for;
  struct sigaction before = {};
  real::sigaction()(number, nullptr, &before);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    g_number.store(number);
    return step_back(number, "handles");
  }
  g_view = before;
  g_number.store(number);
  install(number);
}

bool is_snapshot_signal(int number) { return number != 0 && g_number.load(std::memory_order_relaxed) == number; }

int set_snapshot_signal_view(const struct sigaction* action, struct sigaction* before) {
  if (shares_memory()) {
    const int result = real::sigaction()(g_number.load(), action, before);
    if (result == 0 && before != nullptr && before->sa_sigaction == on_signal) *before = g_view;
    return result;
  }
  const struct sigaction last = g_view;
  if (action != nullptr) {
    const bool is_handler = action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
    if (is_handler) {
      const int number = g_number.load();
      if (real::sigaction()(number, action, nullptr) != 0) return -1;
      step_back(number, "handles");
      // Again: one that is to be called once has the default's after it.
      set_action(number, action, nullptr);
    }
    struct sigaction now = {};
    real::sigaction()(g_number.load(), nullptr, &now);
    g_view = as_read_back(*action, now.sa_restorer);
    // What is pending is dropped, as the kernel does it.
    if (action->sa_handler == SIG_IGN && now.sa_sigaction == on_signal) {
      real::sigaction()(g_number.load(), action, nullptr);
      install(g_number.load());
    }
  }
  if (before != nullptr) *before = last;
  return 0;
}

void program_waits_for(const sigset_t* set) {
  const int number = g_number.load(std::memory_order_relaxed);
  if (number == 0 || !has_signal(set, number)) return;
  step_back(number, "waits for");
  // As it was: an unblocked one that comes now is what it would be without us.
  set_action(number, &g_view, nullptr);
}

bool program_ignores_snapshot_signal() {
  return g_number.load(std::memory_order_relaxed) != 0 && g_view.sa_handler == SIG_IGN;
}

void snapshot_signal_before_exec() {
  const int number = g_number.load(std::memory_order_relaxed);
  struct sigaction now;
  if (!program_ignores_snapshot_signal() || real::sigaction()(number, nullptr, &now) != 0) return;
  if (now.sa_sigaction == on_signal) real::sigaction()(number, &g_view, nullptr);
}

void snapshot_signal_after_exec() {
  if (program_ignores_snapshot_signal() && !shares_memory()) install(g_number.load());
}

void snapshot_signal_handle_again() {
  const int number = g_number.load(std::memory_order_relaxed);
  if (number != 0) install(number);
}

void poll_snapshot_signal() {
  const int number = g_number.load(std::memory_order_relaxed);
  if (number == 0) return;
  // The call costs more than all else of a sample; the signal may wait for the kernel's next tick.
  const int64_t tick = clock_ns(CLOCK_MONOTONIC_COARSE);
  if (t_polled_ns == tick) return;
  t_polled_ns = tick;
  const uint64_t wanted = uint64_t{1} << (number - 1);
  uint64_t pending = 0;
  if (raw_syscall(SYS_rt_sigpending, &pending, sizeof(pending)) < 0 || (pending & wanted) == 0) {
    g_pending_since_ns.store(0, std::memory_order_relaxed);
    return;
  }
  // A program that is about to wait for it is left the time to do so.
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  int64_t since = 0;
  if (g_pending_since_ns.compare_exchange_strong(since, now) || now - since < kLeaveToProgramNs) return;
  const struct timespec at_once = {0, 0};
  if (raw_syscall(SYS_rt_sigtimedwait, &wanted, nullptr, &at_once, sizeof(wanted)) == number) g_wanted();
}

}  // namespace prof
