#include "preload/deadly_signals.h"

#include <atomic>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/alternate_stack.h"
#include "preload/endings.h"
#include "preload/kernel_action.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/signals_blocked.h"

namespace prof {
namespace {

constexpr int kFirstRealTime = 34;  // glibc has 32 and 33 for itself

constexpr uint64_t kFaults = signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL) |
                             signal_bit(SIGTRAP) | signal_bit(SIGSYS);
// SIGPROF where nothing is sampled by it: else the handler that libprof has for it says when it is the end.
constexpr uint64_t kDeadly = kFaults | signal_bit(SIGHUP) | signal_bit(SIGINT) | signal_bit(SIGQUIT) |
                             signal_bit(SIGABRT) | signal_bit(SIGUSR1) | signal_bit(SIGUSR2) | signal_bit(SIGPIPE) |
                             signal_bit(SIGALRM) | signal_bit(SIGTERM) | signal_bit(SIGSTKFLT) | signal_bit(SIGXCPU) |
                             signal_bit(SIGXFSZ) | signal_bit(SIGVTALRM) | signal_bit(SIGPROF) | signal_bit(SIGIO) |
                             signal_bit(SIGPWR) | ~(signal_bit(kFirstRealTime) - 1);

std::atomic<uint64_t> g_managed{0};  // where ours stands in for the default
std::atomic<uint64_t> g_ours{0};     // of these, where it does now
std::atomic<bool> g_is_dying{false};
std::atomic<bool> g_is_starting{false};  // in a program that runs

// What the program has set where ours is in place: the default, or a handler that is to be called once. Shown again.
struct Shown {
  std::atomic<uint64_t> once;  // 0: the default
  uint64_t mask;
  int flags;
};
Shown g_shown[kSignals + 1];

// Process 1 of a pid namespace does not end by what it has the default for, nor does it notice. Only where the kernel insists on it, at each
// attempt to go on, it does end.
constexpr uint64_t kDeadlyToFirst = signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL);
bool is_first_process() { return raw_getpid() == 1; }

void on_deadly_signal(int number, siginfo_t* info, void* context);

// The default end, with what the signal was sent with, in the context that it came to: it stays pending until this handler has returned.
// For a fault it is what the core dump is made of. Where a call such as sigsuspend() or ppoll() let the signal in for as long as it waits, the
// mask that is in place when the handler returns keeps it out again: it would stay pending, and the program go on. context: null, or the
// handler's.
void die_of(int number, siginfo_t* info, ucontext_t* context) {
  if (context != nullptr) {
    const uint64_t mask = first_word(context->uc_sigmask) & ~signal_bit(number);
    __builtin_memcpy(&context->uc_sigmask, &mask, sizeof(mask));
  }
  const KernelAction by_default = {};
  raw_syscall(SYS_rt_sigaction, number, &by_default, nullptr, sizeof(uint64_t));
  const int pid = raw_getpid();
  const int tid = raw_gettid();
  if (raw_syscall(SYS_rt_tgsigqueueinfo, pid, tid, number, info) == 0) return;
  if (raw_syscall(SYS_tgkill, pid, tid, number) == 0) return;
  raw_syscall(SYS_kill, pid, number);
}

// Another thread is putting the handlers in place, with every signal blocked: it will be done in a moment. (In a child that was made by a
// bare clone meanwhile it is not there.)
void await_start() {
  constexpr int kMost = 10'000;
  for (int i = 0; i < kMost && g_is_starting.load(std::memory_order_acquire); ++i) raw_syscall(SYS_sched_yield);
}

// A handler of the program's that another thread had set at just that moment had ours in its place, and has the signal now. (Of a fault
// the instruction is repeated.)
bool is_for_program(int number, siginfo_t* info, bool is_fault) {
  if ((g_ours.load(std::memory_order_relaxed) & signal_bit(number)) != 0 || !g_is_starting.load()) return false;
  await_start();
  struct sigaction now;
  if (real::sigaction()(number, nullptr, &now) != 0 || now.sa_sigaction == on_deadly_signal) return false;
  if (!is_fault) raw_syscall(SYS_rt_tgsigqueueinfo, raw_getpid(), raw_gettid(), number, info);
  return true;
}

void end_by(int number, siginfo_t* info, ucontext_t* context, bool is_fault) {
  if (!is_fault && is_first_process()) return;
  // Whoever sends a second one, later, does not want to wait. Threads that fault together do.
  if (is_recording()) {
    if (!is_fault) ending_lets_exec_go_on(number, info);
    const bool is_second = !is_fault && g_is_dying.exchange(true);
    if (!is_second && !is_fault && ending_defers(number, *info)) return;
    if (is_second) {
      ending_await_together();
    } else {
      end_at_once(ending_by_signal(number));
    }
  } else {
    recording_counts_unseen_child();
  }
  die_of(number, info, context);
}

void on_deadly_signal(int number, siginfo_t* info, void* context) {
  const ErrnoSaver errno_saver;
  const bool is_fault = (kFaults & signal_bit(number)) != 0 && info->si_code > 0;
  if (!is_for_program(number, info, is_fault)) end_by(number, info, static_cast<ucontext_t*>(context), is_fault);
}

struct sigaction our_action() {
  struct sigaction action = {};
  action.sa_sigaction = on_deadly_signal;
  action.sa_flags = SA_SIGINFO | on_alternate_stack();
  sigfillset(&action.sa_mask);
  return action;
}

bool is_managed(int number) {
  return number > 0 && number <= kSignals && (g_managed.load(std::memory_order_relaxed) & signal_bit(number)) != 0;
}

void note(int number, bool is_ours) {
  if (is_ours) {
    g_ours.fetch_or(signal_bit(number), std::memory_order_relaxed);
  } else {
    g_ours.fetch_and(~signal_bit(number), std::memory_order_relaxed);
  }
}

using Handler = void (*)(int, siginfo_t*, void*);

// Stands before a handler of the program's that was set with SA_RESETHAND: the kernel would put the default in its place past our sight.
// What it calls last is no call but a jump: no frame of ours is below the program's.
void on_first_signal(int number, siginfo_t* info, void* context) {
  Handler handler = on_deadly_signal;  // of a second thread, at the same time
  {
    const ErrnoSaver errno_saver;
    Shown& shown = g_shown[number];
    const bool shares_memory = g_region != nullptr && !is_recording();
    const uint64_t once = shares_memory ? shown.once.load() : shown.once.exchange(0);
    const struct sigaction ours = our_action();
    real::sigaction()(number, &ours, nullptr);
    if (!shares_memory) note(number, true);
    if (once != 0) handler = reinterpret_cast<Handler>(once);
  }
  handler(number, info, context);
}

void show(int number, uint64_t once, uint64_t mask, int flags) {
  g_shown[number].once.store(once);
  g_shown[number].mask = mask;
  g_shown[number].flags = flags;
}

void leave(uint64_t signals) {
  const uint64_t ours = g_ours.fetch_and(~signals) & signals;
  g_managed.fetch_and(~signals);
  const KernelAction by_default = {};
  for (int number = 1; number <= kSignals; ++number) {
    if ((ours & signal_bit(number)) != 0) raw_syscall(SYS_rt_sigaction, number, &by_default, nullptr, sizeof(uint64_t));
  }
}

bool is_ours(Handler handler) { return handler == on_deadly_signal || handler == on_first_signal; }

}  // namespace

void deadly_signals_start() {
  const struct sigaction ours = our_action();
  const uint64_t wanted = is_first_process() ? kDeadlyToFirst : kDeadly;
  const SignalsBlocked blocked;
  uint64_t managed = 0;
  for (int number = 1; number <= kSignals; ++number) {
    if ((wanted & signal_bit(number)) == 0) continue;
    // Nearly all have the default: one call for these. No signal comes here meanwhile.
    struct sigaction now = {};
    if (real::sigaction()(number, &ours, &now) != 0) continue;
    if (now.sa_handler == SIG_DFL) {
      show(number, 0, first_word(now.sa_mask), now.sa_flags);
      note(number, true);
    } else {
      real::sigaction()(number, &now, nullptr);
    }
    // One that is ignored is taken when the program resets it; a handler that is there by now is libprof's own for something else.
    if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) managed |= signal_bit(number);
  }
  g_managed.store(managed, std::memory_order_relaxed);
}

void deadly_signals_start_late() {
  const struct sigaction ours = our_action();
  const uint64_t wanted = is_first_process() ? kDeadlyToFirst : kDeadly;
  const SignalsBlocked blocked;
  g_is_starting.store(true);
  for (int number = 1; number <= kSignals; ++number) {
    struct sigaction now = {};
    if ((wanted & signal_bit(number)) == 0 || real::sigaction()(number, nullptr, &now) != 0) continue;
    const bool is_default = now.sa_handler == SIG_DFL;
    // Who sets a handler from here on asks whether ours is there.
    show(number, 0, first_word(now.sa_mask), now.sa_flags);
    g_managed.fetch_or(signal_bit(number));
    if (!is_default || real::sigaction()(number, &ours, &now) != 0) continue;
    if (now.sa_handler == SIG_DFL) {
      note(number, true);
    } else {
      real::sigaction()(number, &now, nullptr);
    }
  }
  g_is_starting.store(false, std::memory_order_release);
}

void deadly_signal_has_come(int number, siginfo_t* info, ucontext_t* context) {
  end_by(number, info, context, /*is_fault=*/false);
}

void deadly_signal_is_free(int number) {
  if (g_managed.load() == 0 || (kDeadly & signal_bit(number)) == 0 || is_first_process()) return;
  show(number, 0, 0, 0);
  g_managed.fetch_or(signal_bit(number));
}

void deadly_signals_forget() {
  g_is_dying.store(false);
  g_is_starting.store(false);
  if (is_first_process()) leave(~kDeadlyToFirst);
}

int set_action(int number, const struct sigaction* action, struct sigaction* before) {
  if (g_is_starting.load(std::memory_order_relaxed)) await_start();
  if (!is_managed(number)) return real::sigaction()(number, action, before);
  // A child of vfork has handlers of its own, and its parent's memory.
  const bool shares_memory = g_region != nullptr && !is_recording();
  Shown& shown = g_shown[number];
  const uint64_t once_before = shown.once.load();
  const uint64_t mask_before = shown.mask;
  const int flags_before = shown.flags;
  struct sigaction replaced;
  const struct sigaction* real_action = action;
  const bool to_default = action != nullptr && action->sa_handler == SIG_DFL;
  const bool is_once = action != nullptr && !to_default && action->sa_handler != SIG_IGN && !shares_memory &&
                       (static_cast<unsigned>(action->sa_flags) & SA_RESETHAND) != 0;
  if (to_default || is_once) {
    const uint64_t once = is_once ? reinterpret_cast<uint64_t>(action->sa_sigaction) : 0;
    if (!shares_memory) {
      const struct sigaction shown = as_read_back(*action, nullptr);
      show(number, once, first_word(shown.sa_mask), shown.sa_flags);
    }
    replaced = our_action();
    if (is_once) {
      replaced = *action;
      replaced.sa_sigaction = on_first_signal;
      replaced.sa_flags = static_cast<int>((static_cast<unsigned>(action->sa_flags) & ~SA_RESETHAND) | SA_SIGINFO);
    }
    real_action = &replaced;
  }
  const int result = real::sigaction()(number, real_action, before);
  if (result != 0) return result;
  if (action != nullptr && !shares_memory) note(number, to_default);
  if (before != nullptr && is_ours(before->sa_sigaction)) {
    before->sa_sigaction = before->sa_sigaction == on_first_signal ? reinterpret_cast<Handler>(once_before) : nullptr;
    before->sa_flags = flags_before;
    if ((flags_before & kRestorerFlag) == 0) before->sa_restorer = nullptr;
    sigemptyset(&before->sa_mask);
    __builtin_memcpy(&before->sa_mask, &mask_before, sizeof(mask_before));
  }
  return result;
}

bool deadly_signal_is_ours(int number) {
  struct sigaction now;
  return is_managed(number) && real::sigaction()(number, nullptr, &now) == 0 && now.sa_sigaction == on_deadly_signal;
}

void deadly_signal_take(int number) {
  if (!is_managed(number)) return;
  const struct sigaction by_default = {};
  set_action(number, &by_default, nullptr);
}

void deadly_signals_handle_again() {
  const struct sigaction ours = our_action();
  for (int number = 1; number <= kSignals; ++number) {
    if (deadly_signal_is_ours(number)) real::sigaction()(number, &ours, nullptr);
  }
}

void die_of_deferred() {
  int number;
  siginfo_t info;
  if (ending_take_deferred(&number, &info)) die_of(number, &info, nullptr);
}

bool is_fault_signal(int number) { return number > 0 && number <= kSignals && (kFaults & signal_bit(number)) != 0; }

uint64_t deadly_signals_now() { return g_ours.load(std::memory_order_relaxed); }

void deadly_signal_leave(int number) { leave(signal_bit(number)); }

void deadly_signals_leave() {
  // A child of vfork has handlers of its own; what is noted of them is its parent's.
  if (g_region != nullptr && !is_recording()) return;
  leave(~uint64_t{0});
}

}  // namespace prof
