#include "preload/handler_masks.h"

#include <sys/auxv.h>

#include <atomic>
#include <cstring>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "preload/cpu_sampling.h"
#include "preload/deadly_signals.h"
#include "preload/kernel_action.h"
#include "preload/recording.h"
#include "preload/ring_waits.h"
#include "preload/sigprof_handler.h"
#include "preload/unblocked_threads.h"

namespace prof {
namespace {

constexpr uint64_t kSigprof = signal_bit(SIGPROF);

// Who has more has not reckoned with the one frame that comes without us.
constexpr size_t kAmpleForHandler = 16 * 1024;

std::atomic<bool> g_has_small{false};
std::atomic<bool> g_is_named{false};
std::atomic<bool> g_is_applied{false};
std::atomic<uint64_t> g_added{0};  // the signals whose handlers have SIGPROF in their mask by us

// By the call, not by the kernel's word for it: that would be a system call more, which a sandbox may not allow.
thread_local constinit uintptr_t t_stack = 0;
thread_local constinit size_t t_stack_bytes = 0;

bool is_on_alternate_stack() {
  return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - t_stack < t_stack_bytes;
}

// A child of vfork has handlers and a mask of its own, and its parent's memory.
bool shares_memory() { return g_region != nullptr && !is_recording(); }

bool keeps_out() {
  return g_has_small.load(std::memory_order_relaxed) && !g_is_named.load(std::memory_order_relaxed) &&
         sigprof_is_used();
}

// SIGPROF along with what nobody blocks for its own sake: all signals, or all but a few.
bool is_wholesale(uint64_t mask) {
  constexpr uint64_t kWitnesses = kSigprof | signal_bit(SIGVTALRM) | signal_bit(SIGXCPU);
  return (mask & kWitnesses) == kWitnesses;
}

void is_named() {
  if (g_is_named.load(std::memory_order_relaxed) || shares_memory()) return;
  g_is_named.store(true);
  handler_masks_follow();
}

bool is_to_have(uint64_t handler, uint64_t flags, uint64_t mask) {
  constexpr uint64_t kDefault = 0;
  constexpr uint64_t kIgnore = 1;
  return handler != kDefault && handler != kIgnore && (flags & (SA_ONSTACK | SA_NODEFER)) == SA_ONSTACK &&
         (mask & kSigprof) == 0;
}

bool is_to_have(const KernelAction& action) { return is_to_have(action.handler, action.flags, action.mask); }

bool exchange_action(int number, const KernelAction* action, KernelAction* before) {
  return raw_syscall(SYS_rt_sigaction, number, action, before, sizeof(uint64_t)) == 0;
}

// By the bare call: an action that was set by one comes back from somewhere else than the C library's do. Another thread may set another
// handler meanwhile: that one stays.
void change_mask(int number, KernelAction (*changed)(int number, KernelAction action)) {
  KernelAction expected;
  if (!exchange_action(number, nullptr, &expected)) return;
  KernelAction wanted = changed(number, expected);
  constexpr int kTries = 3;
  for (int i = 0; i < kTries && wanted.mask != expected.mask; ++i) {
    KernelAction before;
    if (!exchange_action(number, &wanted, &before) || memcmp(&before, &expected, sizeof(before)) == 0) return;
    expected = wanted;
    wanted = changed(number, before);
  }
}

void is_added(int number) {
  g_added.fetch_or(signal_bit(number));
  ticks_are_blocked_by_handler();
}

KernelAction with_sigprof(int number, KernelAction action) {
  if (!is_to_have(action)) return action;
  is_added(number);
  action.mask |= kSigprof;
  return action;
}

KernelAction without_sigprof(int, KernelAction action) {
  action.mask &= ~kSigprof;
  return action;
}

}  // namespace

uint64_t mask_now() {
  uint64_t mask = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof(mask));
  return mask;
}

bool blocks_sigprof_by_name(uint64_t mask) { return (mask & kSigprof) != 0 && !is_wholesale(mask); }

void alternate_stack_comes(size_t bytes) {
  if (bytes >= 2 * getauxval(AT_MINSIGSTKSZ) + kAmpleForHandler) return;
  if (g_has_small.load(std::memory_order_relaxed) || shares_memory()) return;
  g_has_small.store(true);
  handler_masks_follow();
}

void alternate_stack_is(const stack_t* stack) {
  t_stack_bytes = 0;
  if (stack == nullptr) return;
  t_stack = reinterpret_cast<uintptr_t>(stack->ss_sp);
  t_stack_bytes = stack->ss_size;
}

void handler_masks_follow() {
  // Blocked by name by who has executed this program.
  if (keeps_out() && !g_is_applied.load() && blocks_sigprof_by_name(mask_now())) g_is_named.store(true);
  const bool is_wanted = keeps_out();
  if (g_is_applied.exchange(is_wanted) == is_wanted) return;
  // They stay noted: what deadly_signals.h shows of a handler that is to be called once has the mask that it was set with.
  const uint64_t concerned = is_wanted ? ~uint64_t{0} : g_added.load();
  for (int number = 1; number <= kSignals; ++number) {
    if ((concerned & signal_bit(number)) != 0) change_mask(number, is_wanted ? with_sigprof : without_sigprof);
  }
}

int set_handler(int number, const struct sigaction* action, struct sigaction* before) {
  const bool is_known = number > 0 && number <= kSignals;
  if (!is_known) return set_action(number, action, before);
  if (action != nullptr && blocks_sigprof_by_name(first_word(action->sa_mask)) && action->sa_handler != SIG_DFL &&
      action->sa_handler != SIG_IGN)
    is_named();
  const bool had = (g_added.load(std::memory_order_relaxed) & signal_bit(number)) != 0;
  if (!had && !keeps_out()) return set_action(number, action, before);
  const bool is_changed = action != nullptr && !shares_memory();
  const bool adds = is_changed && keeps_out() &&
                    is_to_have(reinterpret_cast<uint64_t>(action->sa_handler), static_cast<unsigned>(action->sa_flags),
                               first_word(action->sa_mask));
  struct sigaction changed;
  if (adds) {
    changed = *action;
    sigaddset(&changed.sa_mask, SIGPROF);
    action = &changed;
  }
  const int result = set_action(number, action, before);
  if (result != 0) return result;
  if (adds) {
    is_added(number);
  } else if (is_changed) {
    g_added.fetch_and(~signal_bit(number));
  }
  if (before != nullptr && had) sigdelset(&before->sa_mask, SIGPROF);
  return result;
}

namespace {

// Not a child's that runs in its parent's memory, or shares its region.
bool is_own(const ThreadSlot* slot) {
  return slot != nullptr && is_recording() && slot->tid.load(std::memory_order_relaxed) == raw_gettid();
}

// Where SIGPROF is, or comes to be, blocked by name. A thread that unblocks it otherwise (a handler's return, siglongjmp, setcontext) is held
// until its next call. To stop and start a clock takes 5 us, with a perf event 30: who blocks signals often, around what it does, is held now and
// then only; who waits for one of its own does so for longer.
int set_mask_and_hold(SetMask real, int how, const sigset_t* set, sigset_t* before, bool names) {
  constexpr int64_t kSeldomNs = 10'000'000;
  ThreadSlot* slot = slot_of_this_thread();
  const bool was_held = slot != nullptr && slot->held.load(std::memory_order_relaxed) != 0;
  const int64_t now = names && !was_held ? clock_ns(CLOCK_MONOTONIC_COARSE) : 0;
  const bool is_due = names && !was_held && slot != nullptr && now - slot->last_hold_ns >= kSeldomNs;
  if ((!was_held && !is_due) || !sigprof_is_used() || !is_own(slot)) return real(how, set, before);
  if (is_due) {
    slot->last_hold_ns = now;
    if ((mask_now() & kSigprof) == 0) cpu_sampling_hold_thread(slot);
  }
  const int result = real(how, set, before);
  if (slot->held.load(std::memory_order_relaxed) != 0 && (mask_now() & kSigprof) == 0) cpu_sampling_let_go_thread(slot);
  return result;
}

bool is_held() {
  const ThreadSlot* slot = slot_of_this_thread();
  return slot != nullptr && slot->held.load(std::memory_order_relaxed) != 0;
}

int set_mask(SetMask real, int how, const sigset_t* set, sigset_t* before) {
  const bool names = set != nullptr && how != SIG_UNBLOCK && blocks_sigprof_by_name(first_word(*set));
  if (names && !keeps_out()) is_named();
  if (!keeps_out()) {
    if (names || (set != nullptr && is_held())) return set_mask_and_hold(real, how, set, before, names);
    return real(how, set, before);
  }
  const bool is_handler = is_on_alternate_stack();
  const bool blocks = set != nullptr && how != SIG_UNBLOCK && sigismember(set, SIGPROF) == 1;
  sigset_t changed;
  if (is_handler && set != nullptr && how != SIG_BLOCK) {
    changed = *set;
    if (how == SIG_UNBLOCK) sigdelset(&changed, SIGPROF);
    if (how == SIG_SETMASK && (mask_now() & kSigprof) != 0) sigaddset(&changed, SIGPROF);
    set = &changed;
  }
  sigset_t last;
  sigset_t* const to = before == nullptr ? &last : before;
  const int result = real(how, set, to);
  if (result != 0) return result;
  const uint64_t mask = first_word(*to);
  const bool was_blocked = (mask & kSigprof) != 0;
  if (names && (!was_blocked || !is_handler)) {
    is_named();
    if (ThreadSlot* slot = slot_of_this_thread(); is_own(slot) && !keeps_out()) cpu_sampling_hold_thread(slot);
  }
  if (!was_blocked || is_wholesale(mask) || !keeps_out()) return result;
  sigdelset(to, SIGPROF);
  // No handler runs on it here: one was left by a jump.
  if (!is_handler && !blocks) raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &kSigprof, nullptr, sizeof(kSigprof));
  return result;
}

}  // namespace

int set_thread_mask(SetMask real, int how, const sigset_t* set, sigset_t* before) {
  if (!is_unblocked_thread()) return set_mask(real, how, set, before);
  MaskOfUnblocked mask(how, &set);
  const int result = set_mask(real, how, set, before);
  if (result == 0) mask.is_changed(before);
  return result;
}

bool sigprof_is_kept_out(uint64_t mask) { return keeps_out() && blocks_sigprof_by_name(mask); }

bool sigprof_is_kept_out_now(sigset_t* mask) {
  if (!keeps_out()) return false;
  const uint64_t now = mask_now();
  sigemptyset(mask);
  __builtin_memcpy(mask, &now, sizeof(now));
  return blocks_sigprof_by_name(now);
}

bool sigprof_let_in() {
  if (!keeps_out() || !sigprof_is_kept_out(mask_now())) return false;
  sigprof_let_in_again();
  return true;
}

void sigprof_let_in_again() { raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &kSigprof, nullptr, sizeof(kSigprof)); }

void sigprof_keep_out() { raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &kSigprof, nullptr, sizeof(kSigprof)); }

}  // namespace prof
