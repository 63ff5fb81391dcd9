// Signal calls of the program, as far as they concern SIGPROF, PROF_SIGNAL and those that end it while libprof handles them:
// preload/sigprof_view.h, snapshot_signal.h and deadly_signals.h say what the program is shown. Everything else goes straight
// to the real function.

#include <errno.h>
#include <signal.h>

#include <algorithm>
#include <atomic>

#include "core/base/clocks.h"
#include "preload/alternate_stack.h"
#include "preload/asked_profiles.h"
#include "preload/deadly_signals.h"
#include "preload/handler_masks.h"
#include "preload/kernel_action.h"
#include "preload/program_memory.h"
#include "preload/real_symbols.h"
#include "preload/ring_waits.h"
#include "preload/sigprof_handler.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"
#include "preload/thread_clock.h"
#include "preload/unblocked_threads.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {

// Of whose kind the calls to come are ended by a handler: what siginterrupt() has said, for signal() and its kin.
std::atomic<uint64_t> g_interrupts{0};

bool is_of_program(int number) { return number > 0 && number <= prof::kSignals; }

// The calls that take no more than a handler: as the C library does it, by the calls that take all.
sighandler_t set_simply(int number, sighandler_t handler) {
  if (handler == SIG_ERR || !is_of_program(number)) {
    errno = EINVAL;
    return SIG_ERR;
  }
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = handler;
  sigaddset(&action.sa_mask, number);
  const bool interrupts = (g_interrupts.load(std::memory_order_relaxed) & prof::signal_bit(number)) != 0;
  action.sa_flags = interrupts ? 0 : SA_RESTART;
  return sigaction(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

// System V's way: the handler is called once, and other signals of its kind are not blocked meanwhile.
sighandler_t set_once(int number, sighandler_t handler) {
  if (handler == SIG_ERR) return prof::real::sysv_signal()(number, handler);
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  return sigaction(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

// sighold, sigrelse.
int change_one(int how, int number) {
  sigset_t set;
  sigemptyset(&set);
  return sigaddset(&set, number) != 0 ? -1 : sigprocmask(how, &set, nullptr);
}

bool waits_for_sigprof(const sigset_t* set) { return prof::sigprof_is_ours() && prof::has_signal(set, SIGPROF); }

// A wait was interrupted: maybe by a SIGPROF of the program's that a thread took in between, of those that libprof unblocked, before
// it gave it back (keep_for_who_waits). The kernel wakes the wait and the handler has yet to run, so nothing tells this from a handler
// of the program's, but that the signal comes as soon as that thread has the processor. EINTR, of a handler too, is so much later.
int wait_for_one_given_back(const sigset_t* set, siginfo_t* info) {
  constexpr int64_t kGivenBackWithin = 50'000'000;
  const int64_t until = prof::clock_ns(CLOCK_MONOTONIC) + kGivenBackWithin;
  for (int64_t rest = kGivenBackWithin; rest > 0; rest = until - prof::clock_ns(CLOCK_MONOTONIC)) {
    const struct timespec limit = prof::timespec_of(rest);
    const int number = prof::real::sigtimedwait()(set, info, &limit);
    if (number > 0 && (number != SIGPROF || !prof::is_from_libprof(*info))) return number;
  }
  errno = EINTR;
  return -1;
}

// Until a signal of the set comes that is none of libprof's ticks.
int wait_for(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  if (timeout != nullptr && !prof::is_readable(timeout, sizeof(*timeout)))
    return prof::real::sigtimedwait()(set, info, timeout);
  siginfo_t own;
  // One that is wrong is for the kernel to refuse, and decades are as good as none.
  constexpr int64_t kDecades = 1'000'000'000;
  const bool has_limit = timeout != nullptr && timeout->tv_sec >= 0 && timeout->tv_sec < kDecades;
  const int64_t until =
      has_limit ? prof::clock_ns(CLOCK_MONOTONIC) + int64_t{timeout->tv_sec} * 1'000'000'000 + timeout->tv_nsec : 0;
  struct timespec rest;
  for (;;) {
    siginfo_t* const to = info == nullptr ? &own : info;
    const int number = prof::real::sigtimedwait()(set, to, timeout);
    if (number < 0 && errno == EINTR && prof::sigprof_was_unblocked()) return wait_for_one_given_back(set, to);
    if (number != SIGPROF || !prof::is_from_libprof(*to)) return number;
    if (!has_limit) continue;
    rest = prof::timespec_of(std::max<int64_t>(until - prof::clock_ns(CLOCK_MONOTONIC), 0));
    timeout = &rest;
  }
}

}  // namespace

extern "C" {

EXPORTED int sigaction(int number, const struct sigaction* action, struct sigaction* before) {
  if (action != nullptr) {
    prof::handler_comes(number, *action);
    prof::program_sets_signal(number);
  }
  if (number == SIGPROF && prof::sigprof_is_ours()) return prof::set_sigprof_view(action, before);
  if (prof::is_snapshot_signal(number)) return prof::set_snapshot_signal_view(action, before);
  return prof::set_handler(number, action, before);
}

EXPORTED sighandler_t signal(int number, sighandler_t handler) { return set_simply(number, handler); }

EXPORTED sighandler_t bsd_signal(int number, sighandler_t handler) { return set_simply(number, handler); }

EXPORTED sighandler_t ssignal(int number, sighandler_t handler) { return set_simply(number, handler); }

EXPORTED sighandler_t sysv_signal(int number, sighandler_t handler) { return set_once(number, handler); }

EXPORTED sighandler_t __sysv_signal(int number, sighandler_t handler) { return set_once(number, handler); }

EXPORTED sighandler_t sigset(int number, sighandler_t handler) {
  struct sigaction before = {};
  sigset_t set;
  sigset_t mask_before;
  sigemptyset(&set);
  if (sigaddset(&set, number) != 0) return SIG_ERR;
  if (handler == SIG_HOLD) {
    if (sigprocmask(SIG_BLOCK, &set, &mask_before) != 0) return SIG_ERR;
    if (sigismember(&mask_before, number) == 1) return SIG_HOLD;
    return sigaction(number, nullptr, &before) == 0 ? before.sa_handler : SIG_ERR;
  }
  struct sigaction action = {};
  action.sa_handler = handler;
  if (sigaction(number, &action, &before) != 0 || sigprocmask(SIG_UNBLOCK, &set, &mask_before) != 0) return SIG_ERR;
  return sigismember(&mask_before, number) == 1 ? SIG_HOLD : before.sa_handler;
}

EXPORTED int sigignore(int number) {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  return sigaction(number, &action, nullptr);
}

EXPORTED int sighold(int number) { return change_one(SIG_BLOCK, number); }

EXPORTED int sigrelse(int number) { return change_one(SIG_UNBLOCK, number); }

EXPORTED int siginterrupt(int number, int interrupts) {
  struct sigaction action;
  if (sigaction(number, nullptr, &action) != 0) return -1;
  if (interrupts != 0) {
    g_interrupts.fetch_or(prof::signal_bit(number), std::memory_order_relaxed);
    action.sa_flags &= ~SA_RESTART;
  } else {
    g_interrupts.fetch_and(~prof::signal_bit(number), std::memory_order_relaxed);
    action.sa_flags |= SA_RESTART;
  }
  return sigaction(number, &action, nullptr);
}

EXPORTED int sigaltstack(const stack_t* stack, stack_t* before) {
  if (stack != nullptr && !prof::is_readable(stack, sizeof(*stack))) return prof::real::sigaltstack()(stack, before);
  // Before it is in use: a tick may come at once.
  const bool is_set = stack != nullptr && (stack->ss_flags & SS_DISABLE) == 0;
  if (is_set && !prof::alternate_stack_is_usable(stack->ss_size)) {
    prof::sigprof_handle_again();
    prof::snapshot_signal_handle_again();
    prof::deadly_signals_handle_again();
  }
  if (is_set) prof::alternate_stack_comes(stack->ss_size);
  const stack_t given = is_set ? *stack : stack_t{};
  const int result = prof::real::sigaltstack()(stack, before);
  if (result == 0 && stack != nullptr) prof::alternate_stack_is(is_set ? &given : nullptr);
  return result;
}

EXPORTED int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) {
  return prof::set_thread_mask(prof::real::pthread_sigmask(), how, set, before);
}

EXPORTED int sigprocmask(int how, const sigset_t* set, sigset_t* before) {
  return prof::set_thread_mask(prof::real::sigprocmask(), how, set, before);
}

// libprof's own.
int __wrap_pthread_sigmask(int how, const sigset_t* set, sigset_t* before) {
  return prof::real::pthread_sigmask()(how, set, before);
}

int __wrap_sigprocmask(int how, const sigset_t* set, sigset_t* before) {
  return prof::real::sigprocmask()(how, set, before);
}

EXPORTED int sigwait(const sigset_t* set, int* number) {
  prof::program_waits_for(set);
  if (!waits_for_sigprof(set)) return prof::real::sigwait()(set, number);
  for (;;) {
    siginfo_t info;
    const int result = wait_for(set, &info, nullptr);
    if (result < 0 && errno != EINTR) return errno;
    if (result < 0) continue;
    *number = result;
    return 0;
  }
}

EXPORTED int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  prof::program_waits_for(set);
  if (!waits_for_sigprof(set)) return prof::real::sigwaitinfo()(set, info);
  return wait_for(set, info, nullptr);
}

EXPORTED int sigtimedwait(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  prof::program_waits_for(set);
  if (!waits_for_sigprof(set)) return prof::real::sigtimedwait()(set, info, timeout);
  return wait_for(set, info, timeout);
}

EXPORTED int signalfd(int fd, const sigset_t* set, int flags) {
  prof::program_waits_for(set);
  prof::program_reads_from_descriptor(set);
  return prof::real::signalfd()(fd, set, flags);
}

EXPORTED int sigpending(sigset_t* set) {
  const int result = prof::real::sigpending()(set);
  if (result != 0 || sigismember(set, SIGPROF) != 1 || !prof::sigprof_is_ours()) return result;
  // Not asked again: the next tick may have come.
  if (!prof::drop_pending_ticks()) sigdelset(set, SIGPROF);
  return 0;
}

}  // extern "C"
