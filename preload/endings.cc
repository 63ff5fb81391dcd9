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

std::atomic<int> g_execs{0};       // threads that are at it, for which it was read
std::atomic<uint32_t> g_round{0};  // of reading before an exec
// The round that this thread is one of; 0: none. A handler may have jumped out of its exec since.
thread_local constinit uint32_t t_round = 0;
std::atomic<bool> g_ends{false};  // a thread is to write what the process leaves: no exec has it read any more
std::atomic<bool> g_dies{false};  // and ends the process in a moment: no exec begins any more

int64_t g_most_ns = 0;
EndingCalls g_calls{};
std::atomic<int64_t> g_began_ns{0};  // the writing; CLOCK_MONOTONIC
std::atomic<int> g_writer{0};        // the thread that writes; kWritten; kBeforeExec; 0: nobody yet

constexpr int64_t kToEndNs = 20'000'000;  // who has written takes no longer, as a rule

void wait_for(int64_t ns) {
  const struct timespec time = timespec_of(ns);
  raw_syscall(SYS_nanosleep, &time, nullptr);
}

bool wait_on(int64_t deadline) {
  if (clock_ns(CLOCK_MONOTONIC) >= deadline) return false;
  wait_for(1'000'000);
  return true;
}

uint32_t next_round() {
  const uint32_t round = g_round.load() + 1;
  g_round.store(round == 0 ? 1 : round);
  return g_round.load();
}

void await_writer(int64_t deadline) {
  while (g_writer.load(std::memory_order_acquire) > 0 && !ending_is_urgent() && wait_on(deadline)) {
  }
  // Who has written ends the process, in its own way: it was first.
  if (g_writer.load(std::memory_order_acquire) != kWritten) return;
  wait_for(kToEndNs);
}

// A thread that ends the process does so as if no other had come to an exec: reading what is recorded has kept that one from it.
void await_end(int64_t deadline) {
  const auto is_to_write = [] { return g_ends.load() && g_writer.load() != kWritten; };
  while ((g_dies.load() || is_to_write()) && wait_on(deadline)) {
  }
}

void exec_has_failed() {
  g_calls.exec_failed();
  g_writer.store(0, std::memory_order_release);
}

// An exec that takes so long may as well be one that a handler has jumped out of: it is no thread's any more. Where it succeeds after all,
// nothing is lost: who waited has written what there was, or has it read again.
constexpr int64_t kMostInExecNs = 200'000'000;
void give_up_exec() {
  int before = kBeforeExec;
  if (!g_writer.compare_exchange_strong(before, raw_gettid())) return;
  g_execs.store(0);
  exec_has_failed();
}

// An exec that has begun succeeds, and this thread is no more; or it fails.
void await_exec(int64_t deadline) {
  const int64_t given_up = clock_ns(CLOCK_MONOTONIC) + kMostInExecNs;
  while (g_writer.load(std::memory_order_acquire) == kBeforeExec && wait_on(deadline)) {
    if (clock_ns(CLOCK_MONOTONIC) > given_up) give_up_exec();
  }
}

// Until another thread has read or written, and whatever signals come meanwhile: this one is not to end.
void await_other(int64_t deadline) {
  while (ending_is_of_other_thread() && wait_on(deadline)) {
  }
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
  t_round = 0;
  g_ends.store(false);
  g_dies.store(false);
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
  if (g_calls.write == nullptr || !is_recording() || g_writer.load(std::memory_order_acquire) == kWritten) return;
  // A second signal is to end the process at once, not to come here again.
  const uint64_t all = ~uint64_t{0};
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, sizeof(all));
  g_ends.store(true);
  // Handlers of exit() may run for long yet, and then an exec comes first.
  if (ending != Ending::by_exit && ending != Ending::quick) g_dies.store(true);
  const int number = static_cast<int>(ending) - static_cast<int>(Ending::signal);
  const bool is_of_thread = is_fault_signal(number) || number == SIGABRT;
  const int64_t deadline = ending_deadline();
  for (;;) {
    if (t_round != 0) ending_exec_failed();
    if (ending_claim()) {
      write_on(g_stack, g_calls.write, ending, deadline);
      return ending_is_written();
    }
    const int writer = g_writer.load(std::memory_order_acquire);
    if (writer == raw_gettid()) {
      write_on(g_stack_of_amid, g_calls.write_amid, ending, g_began_ns.load() + g_most_ns);
      return ending_is_written();
    }
    // A fault is not lost to an exec: what is recorded has been read.
    if (writer == kWritten || (writer == kBeforeExec && is_of_thread)) return;
    writer == kBeforeExec ? await_exec(deadline) : await_writer(deadline);
    if (g_writer.load() > 0 || clock_ns(CLOCK_MONOTONIC) >= deadline) return;
  }
}

void ending_lets_exec_go_on(int number, siginfo_t* info) {
  if (t_round != 0) ending_exec_failed();  // this thread's does not take place; another's may
  if (g_writer.load() != kBeforeExec) return;
  const int pid = raw_getpid();
  // Of another process's only the main thread may say all.
  if (raw_syscall(SYS_rt_sigqueueinfo, pid, number, info) != 0) raw_syscall(SYS_kill, pid, number);
  await_exec(ending_deadline());
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
  const int64_t deadline = ending_deadline();
  if (t_round != 0) ending_exec_failed();  // a handler has jumped out of one
  for (;;) {
    // This thread itself is writing at its exit, and a handler of the program's executes something amid that.
    if (g_writer.load() == raw_gettid()) return false;
    const bool has_waited = ending_is_of_other_thread();
    await_other(deadline);
    await_end(deadline);
    // Who has written ends the process, and was first.
    if (has_waited && g_writer.load() == kWritten) wait_for(kToEndNs);
    int writer = 0;
    if (g_writer.compare_exchange_strong(writer, raw_gettid())) {
      g_began_ns.store(clock_ns(CLOCK_MONOTONIC));
      Call call = {nullptr, g_calls.before_exec, may_go_on, Ending::exec, deadline, false};
      prof_call_on_stack(g_stack + kStackBytes, make_call, &call);
      t_round = call.is_read ? next_round() : 0;
      g_execs.store(call.is_read ? 1 : 0);
      // Then asked whether a thread dies, which asks the other way round: one of the two sees the other.
      g_writer.store(call.is_read ? kBeforeExec : 0);
      break;
    }
    if (writer == kWritten) break;
    if (writer == kBeforeExec && clock_ns(CLOCK_MONOTONIC) > g_began_ns.load() + kMostInExecNs) {
      give_up_exec();
      continue;
    }
    int execs = writer == kBeforeExec ? g_execs.load() : 0;
    while (execs > 0 && !g_execs.compare_exchange_weak(execs, execs + 1)) {
    }
    t_round = execs > 0 ? g_round.load() : 0;
    // Else another's has failed in this moment, or one more reads.
    if (t_round != 0 || !wait_on(deadline)) break;
  }
  if (g_dies.load()) {
    if (t_round != 0) ending_exec_failed();
    await_end(deadline);
  }
  return t_round != 0;
}

void ending_exec_failed() {
  const SignalsBlocked blocked;
  const bool is_given_up = t_round != g_round.load() || g_execs.load() <= 0;
  t_round = 0;
  if (is_given_up || g_execs.fetch_sub(1) != 1) return;
  // Who ends or execs meanwhile waits: nothing is written yet, and the reporter is not to take that end for one amid the exec.
  g_writer.store(raw_gettid(), std::memory_order_release);
  exec_has_failed();
}

void ending_after_fork(bool ends) {
  if (!is_recording()) return;
  const int before = g_forks_and_ends.exchange(ends ? raw_gettid() : 0);
  // It did not: what is recorded from here on is to be written yet.
  int written = kWritten;
  if (ends || before != raw_gettid()) return;
  g_writer.compare_exchange_strong(written, 0);
  g_ends.store(false);
  g_dies.store(false);
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
