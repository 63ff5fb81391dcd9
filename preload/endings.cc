#include "preload/endings.h"

#include <signal.h>

#include <atomic>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "preload/deadly_signals.h"
#include "preload/recording.h"
#include "preload/signals_blocked.h"

namespace prof {
namespace {

constexpr int kWritten = -1;
constexpr int kBeforeExec = -2;
// Signals that come so soon after another were sent with it: TERM and HUP by who ends a session. Nobody is impatient yet.
constexpr int64_t kTogetherNs = 500'000'000;

volatile int g_deferred = 0;  // a signal's number
siginfo_t g_deferred_info;
std::atomic<int> g_forks_and_ends{0};  // a thread, in daemon()

std::atomic<int> g_execs{0};  // threads that are at it, for which it was read

int64_t g_most_ns = 0;
EndingCalls g_calls{};
std::atomic<int64_t> g_began_ns{0};  // the writing; CLOCK_MONOTONIC
std::atomic<int> g_writer{0};        // the thread that writes; kWritten; kBeforeExec; 0: nobody yet

void await_writer(int64_t deadline) {
  while (g_writer.load(std::memory_order_acquire) > 0 && clock_ns(CLOCK_MONOTONIC) < deadline && !ending_is_urgent()) {
    const struct timespec millisecond = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &millisecond, nullptr);
  }
  // Who has written ends the process, in its own way: it was first.
  if (g_writer.load(std::memory_order_acquire) != kWritten) return;
  const struct timespec until_it_has = timespec_of(20'000'000);
  raw_syscall(SYS_nanosleep, &until_it_has, nullptr);
}

// What an end calls runs on memory of libprof's own: the program's handler may be on 8 KB, of which most is taken.
struct Call {
  void (*write)(Ending ending, int64_t deadline_ns);
  bool (*before_exec)(int64_t deadline_ns, bool may_go_on);
  bool may_go_on;
  Ending ending;
  int64_t deadline_ns;
  bool is_read;
};

void make_call(void* argument) {
  auto& call = *static_cast<Call*>(argument);
  if (call.write != nullptr) return call.write(call.ending, call.deadline_ns);
  call.is_read = call.before_exec(call.deadline_ns, call.may_go_on);
}

constexpr unsigned kStackBytes = 64 * 1024;
alignas(16) unsigned char g_stack[kStackBytes];          // of g_writer
alignas(16) unsigned char g_stack_of_amid[kStackBytes];  // the same thread, in a handler

void write_on(unsigned char* stack, void (*write)(Ending, int64_t), Ending ending, int64_t deadline_ns) {
  Call call = {write, nullptr, false, ending, deadline_ns, false};
  prof_call_on_stack(stack + kStackBytes, make_call, &call);
}

}  // namespace

void endings_start(int64_t most_ns, const EndingCalls& calls) {
  g_most_ns = most_ns;
  // Another thread may be ending already: it asks for the first.
  EndingCalls others = calls;
  others.write = nullptr;
  g_calls = others;
  __atomic_store_n(&g_calls.write, calls.write, __ATOMIC_RELEASE);
}

void endings_forget() {
  g_writer.store(0);
  g_deferred = 0;
  g_execs.store(0);
  g_forks_and_ends.store(0);
}

bool ending_claim() {
  int nobody = 0;
  if (g_calls.write == nullptr || !is_recording() || !g_writer.compare_exchange_strong(nobody, raw_gettid()))
    return false;
  g_began_ns.store(clock_ns(CLOCK_MONOTONIC));
  return true;
}

void ending_is_written() { g_writer.store(kWritten, std::memory_order_release); }

bool ending_is_of_other_thread() {
  const int writer = g_writer.load(std::memory_order_acquire);
  return writer > 0 && writer != raw_gettid();
}

bool ending_defers(int number, const siginfo_t& info) {
  if (g_writer.load(std::memory_order_acquire) != raw_gettid()) return false;
  g_deferred_info = info;
  std::atomic_signal_fence(std::memory_order_release);
  g_deferred = number;
  return true;
}

bool ending_take_deferred(int* number, siginfo_t* info) {
  *number = g_deferred;
  *info = g_deferred_info;
  return *number != 0;
}

int64_t ending_deadline() { return clock_ns(CLOCK_MONOTONIC) + g_most_ns; }

void end_at_once(Ending ending) {
  recording_counts_unseen_child();
  if (g_calls.write == nullptr || !is_recording() || g_writer.load(std::memory_order_acquire) < 0) return;
  // A second signal is to end the process at once, not to come here again.
  const uint64_t all = ~uint64_t{0};
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, sizeof(all));
  if (ending_claim()) {
    write_on(g_stack, g_calls.write, ending, ending_deadline());
    ending_is_written();
  } else if (g_writer.load(std::memory_order_relaxed) != raw_gettid()) {
    await_writer(ending_deadline());
  } else {
    write_on(g_stack_of_amid, g_calls.write_amid, ending, g_began_ns.load() + g_most_ns);
    ending_is_written();
  }
}

void ending_await_together() {
  // It may be about to begin.
  constexpr int kMostMilliseconds = 50;
  for (int i = 0; i < kMostMilliseconds && g_writer.load(std::memory_order_acquire) == 0; ++i) {
    const struct timespec millisecond = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &millisecond, nullptr);
  }
  const bool is_late = clock_ns(CLOCK_MONOTONIC) > g_began_ns.load() + kTogetherNs;
  if (!is_late && g_writer.load(std::memory_order_relaxed) != raw_gettid()) await_writer(ending_deadline());
}

bool ending_before_exec(bool may_go_on) {
  // Of two threads that exec at once, one will succeed: what the first has had read is that of both. Who ends meanwhile leaves it here.
  recording_counts_unseen_child();
  if (g_calls.write == nullptr || !is_recording()) return false;
  // Nor does a signal end the process before it is read: there would be nothing to read.
  const SignalsBlocked blocked;
  if (ending_is_of_other_thread()) await_writer(ending_deadline());
  bool is_read = false;
  int nobody = 0;
  if (g_writer.compare_exchange_strong(nobody, raw_gettid())) {
    Call call = {nullptr, g_calls.before_exec, may_go_on, Ending::exec, ending_deadline(), false};
    prof_call_on_stack(g_stack + kStackBytes, make_call, &call);
    is_read = call.is_read;
    g_execs.store(is_read ? 1 : 0);
    g_writer.store(is_read ? kBeforeExec : 0, std::memory_order_release);
  } else if (nobody == kBeforeExec) {
    int execs = g_execs.load();
    while (execs > 0 && !g_execs.compare_exchange_weak(execs, execs + 1)) {
    }
    is_read = execs > 0;
  }
  return is_read;
}

void ending_exec_failed() {
  if (g_execs.fetch_sub(1) != 1) return;
  g_calls.exec_failed();
  g_writer.store(0, std::memory_order_release);
}

void ending_after_fork(bool ends) {
  if (!is_recording()) return;
  const int before = g_forks_and_ends.exchange(ends ? raw_gettid() : 0);
  // It did not: what is recorded from here on is to be written yet.
  int written = kWritten;
  if (!ends && before == raw_gettid()) g_writer.compare_exchange_strong(written, 0);
}

bool ends_after_fork() {
  const int tid = g_forks_and_ends.load(std::memory_order_relaxed);
  return tid != 0 && tid == raw_gettid();
}

bool ending_is_urgent() {
  const uint64_t deadly = deadly_signals_now();
  if (clock_ns(CLOCK_MONOTONIC) < g_began_ns.load() + kTogetherNs) {
    // These would have found no process any more; and one of the same number that comes later is to be seen.
    const struct timespec at_once = {0, 0};
    constexpr int kMost = 8;
    for (int i = 0; i < kMost; ++i) {
      if (raw_syscall(SYS_rt_sigtimedwait, &deadly, nullptr, &at_once, sizeof(deadly)) <= 0) break;
    }
    return false;
  }
  uint64_t pending = 0;
  return raw_syscall(SYS_rt_sigpending, &pending, sizeof(pending)) == 0 && (pending & deadly) != 0;
}

}  // namespace prof
