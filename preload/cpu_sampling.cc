#include "preload/cpu_sampling.h"

#include <atomic>
#include <cstdint>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "preload/counted_ticks.h"
#include "preload/fork_flag.h"
#include "preload/handler_masks.h"
#include "preload/helper_thread.h"
#include "preload/normal_mutex.h"
#include "preload/pause.h"
#include "preload/ring_waits.h"
#include "preload/signals_blocked.h"
#include "preload/sigprof_handler.h"
#include "preload/tasks.h"
#include "preload/thread_look.h"
#include "preload/trace_sampling.h"

namespace prof {
namespace {

CpuSettings g_settings;
// Threads have clocks while one of the two wants them.
std::atomic<bool> g_in_stretch{false};
std::atomic<unsigned> g_counting{0};  // for whom: bits of CountingFor
std::atomic<int> g_switching{0};      // the thread that is at the switch
std::atomic<bool> g_in_user_mode_only{false};
std::atomic<int> g_ended_main{0};    // the thread that had the process's number, where it has ended before the process
std::atomic<int64_t> g_begin_ns{0};  // CLOCK_MONOTONIC: ticks before are dropped
std::atomic<int64_t> g_end_ns{0};    // the first tick from here on ends the stretch
StretchOver g_stretch_over = nullptr;

CpuRecord* record() { return region_root<CpuRecord>(Root::cpu); }

bool is_on() { return g_in_stretch.load(std::memory_order_seq_cst) || g_counting.load(std::memory_order_seq_cst); }

void stop_clock(ThreadSlot* slot) {
  if (slot->held.load(std::memory_order_relaxed) != 0) {
    const uint64_t ticks = take_held_ticks(slot, g_settings.clock);
    if (ticks != 0 && !is_recording_paused()) count_loss(LossCause::sigprof_blocked, ticks);
  }
  const OpenTicks rest = stop_thread_clock(slot, g_settings.clock);
  if (rest.ticks + rest.in_ring != 0 && !is_recording_paused()) count_left_ticks(*slot, rest);
}

bool has_clock(const ThreadSlot& slot) { return slot.clock_state.load(std::memory_order_acquire) == ClockState::runs; }

// Of any thread; one that is just being started looks here again.
void keep_in_user_mode(ThreadSlot* slot) {
  slot->uses_rings.store(1, std::memory_order_seq_cst);
  take_looks_back(slot);
  const SignalsBlocked blocked;
  if (has_clock(*slot)) make_tick_in_user_mode(slot, g_settings.clock);
}

void start_clock_if_on(ThreadSlot* slot, int tid) {
  if (g_in_user_mode_only.load(std::memory_order_seq_cst)) slot->uses_rings.store(1, std::memory_order_seq_cst);
  if (!is_on()) return;
  if (slot->held.load(std::memory_order_seq_cst) != 0) return held_ticks_begin(slot);
  ClockSettings settings = g_settings.clock;
  settings.keeps_no_descriptor =
      (g_counting.load(std::memory_order_relaxed) & ~static_cast<unsigned>(CountingFor::trace)) != 0;
  start_thread_clock(slot, tid, settings);
  // Who passed this slot before its clock started has not changed it, or stopped it.
  if (g_in_user_mode_only.load(std::memory_order_seq_cst)) keep_in_user_mode(slot);
  if (!is_on() || slot->held.load(std::memory_order_seq_cst) != 0) stop_clock(slot);
}

bool is_exiting_slot(const ThreadSlot& slot) { return slot.tid.load(std::memory_order_relaxed) == 0; }

// Those that have one keep it.
void start_clocks() {
  for_each_thread_slot([](ThreadSlot* slot) {
    const int tid = slot->tid.load(std::memory_order_acquire);
    if (tid != 0) start_clock_if_on(slot, tid);
  });
  for_each_task([](int tid) {
    if (find_slot(tid) != nullptr) return;
    ThreadSlot* slot = adopt_thread(tid);
    if (slot == nullptr) return count_loss(LossCause::thread_untracked);
    start_clock_if_on(slot, tid);
    // It has registered, and has a clock in its own slot.
    if (slot->tid.load() != tid) stop_clock(slot);
  });
}

void stop_clocks() {
  for_each_thread_slot([](ThreadSlot* slot) {
    if (!is_exiting_slot(*slot)) stop_clock(slot);
  });
}

// Another thread that is at it is waited for: it will be done in a moment (of 5000 threads perf clocks take 0.4 s). False: it was not to be
// had; a handler has interrupted it.
bool take_switch(bool waits = true) {
  constexpr int kMostMilliseconds = 2000;
  const int self = raw_gettid();
  for (int i = 0;; ++i) {
    int other = 0;
    if (g_switching.compare_exchange_strong(other, self, std::memory_order_acquire)) return true;
    if (!waits || other == self || i == kMostMilliseconds) return false;
    const struct timespec pause = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
  }
}

void give_back_switch() { g_switching.store(0, std::memory_order_release); }

bool stop_stretch(bool waits) {
  if (!take_switch(waits)) return false;
  const bool was_on = g_in_stretch.exchange(false, std::memory_order_seq_cst);
  if (was_on) {
    if (!g_counting.load()) stop_clocks();
    CpuRecord* cpu = record();
    cpu->stretches[cpu->stretch.load() & 1].end_monotonic_ns.store(clock_ns(CLOCK_MONOTONIC),
                                                                   std::memory_order_release);
  }
  give_back_switch();
  return was_on;
}

// What ticks are counted for at this moment; 0: in no stretch. Ends the one whose time is over.
uint32_t stretch_now() {
  uint32_t stretch =
      g_in_stretch.load(std::memory_order_acquire) ? record()->stretch.load(std::memory_order_relaxed) : 0;
  if (stretch != 0 && (g_settings.delay_ns != 0 || g_settings.duration_ns != 0)) {
    const int64_t now = clock_ns_by_kernel(CLOCK_MONOTONIC);
    const bool is_over = g_settings.duration_ns != 0 && now >= g_end_ns.load(std::memory_order_relaxed);
    if (is_over && stop_stretch(/*waits=*/false) && g_stretch_over != nullptr) g_stretch_over(stretch);
    if (is_over || now < g_begin_ns.load(std::memory_order_relaxed)) stretch = 0;
  }
  return stretch;
}

bool counts_in(uint32_t stretch) {
  return !is_recording_paused() && (stretch != 0 || g_counting.load(std::memory_order_relaxed) != 0);
}

// Of the calling thread, whose clock ticks in user mode: what was due in the kernel is counted in the program's call, whose place is known from
// then on. What was due elsewhere is left to the next tick, which meets the thread there. With every signal blocked.
void count_in_call(ThreadSlot* slot) {
  const uint64_t ticks = take_ring_ticks(slot, g_settings.clock);
  const uint32_t stretch = stretch_now();
  if ((ticks != 0 || slot->ring_stack.load(std::memory_order_relaxed) == 0 || !has_left_place(*slot)) &&
      counts_in(stretch))
    count_ticks_at_ring(slot, ticks, stretch);
}

void count_tick(const siginfo_t& info, const ucontext_t& context, bool is_ring) {
  if (g_region == nullptr) return;
  if (answer_look(info, context)) return;
  ThreadSlot* slot = slot_of_signal(info);
  if (slot == nullptr || !is_on()) return;
  const DueTicks due = take_due_ticks(slot, info, context, g_settings.clock);
  const uint32_t stretch = stretch_now();
  // Before anything else may end it: they are of before.
  if (due.earlier != 0) {
    count_left_ticks(*slot, {due.earlier, 0});
    forget_left_ticks(&slot->left);
  }
  if (!counts_in(stretch)) return drop_due_ticks(slot, due.left);
  if (due.counted() + due.left != 0) count_ticks_at(slot, context, due, stretch, is_ring);
}

// Here is its place until a tick meets it elsewhere.
void go_over_to_user_mode(ThreadSlot* slot, const ucontext_t& context, bool is_ring) {
  if (slot->ticks_in_user_mode != 0) return;
  tick_in_user_mode(slot, g_settings.clock);
  begin_ring_ticks(slot, g_settings.clock);
  const uint32_t stretch = stretch_now();
  if (slot->ticks_in_user_mode != 0 && counts_in(stretch)) count_ticks_at(slot, context, {}, stretch, is_ring);
}

}  // namespace

bool cpu_sampling_prepare(const CpuSettings& settings) {
  g_settings = settings;
  counted_ticks_prepare(settings.stack_depth, settings.clock.period_ns);
  g_in_stretch.store(false);
  g_counting.store(0);
  g_switching.store(0);
  CpuRecord* cpu = record();
  cpu->period_ns = settings.clock.period_ns;
  cpu->clock = settings.clock.clock;
  cpu->in_user_mode.store(g_in_user_mode_only.load() ? 1 : 0, std::memory_order_relaxed);
  return sigprof_take();
}

uint32_t cpu_sampling_start() {
  if (!sigprof_is_used() || !take_switch()) return 0;
  if (g_in_stretch.load()) {
    give_back_switch();
    return 0;
  }
  CpuRecord* cpu = record();
  const uint32_t number = cpu->stretch.load(std::memory_order_relaxed) + 1;
  CpuStretch& stretch = cpu->stretches[number & 1];
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  stretch.start_unix_ns = clock_ns(CLOCK_REALTIME) + g_settings.delay_ns;
  stretch.start_monotonic_ns = now + g_settings.delay_ns;
  stretch.due_monotonic_ns = g_settings.duration_ns == 0 ? 0 : stretch.start_monotonic_ns + g_settings.duration_ns;
  stretch.end_monotonic_ns.store(0, std::memory_order_relaxed);
  stretch.reported.store(Reported::no, std::memory_order_relaxed);
  stretch.number.store(number, std::memory_order_release);
  g_begin_ns.store(now + g_settings.delay_ns, std::memory_order_relaxed);
  g_end_ns.store(now + g_settings.delay_ns + g_settings.duration_ns, std::memory_order_relaxed);
  cpu->stretch.store(number, std::memory_order_release);
  g_in_stretch.store(true, std::memory_order_seq_cst);
  start_clocks();
  give_back_switch();
  return number;
}

bool cpu_sampling_stop() { return stop_stretch(/*waits=*/true); }

bool cpu_counting_start(CountingFor whom) {
  if (!sigprof_is_used() || !take_switch()) return false;
  if (g_counting.fetch_or(static_cast<unsigned>(whom), std::memory_order_seq_cst) == 0) start_clocks();
  give_back_switch();
  return true;
}

bool cpu_counting_stop(CountingFor whom) {
  if (!take_switch()) return false;
  const auto bits = static_cast<unsigned>(whom);
  const unsigned before = g_counting.fetch_and(~bits, std::memory_order_seq_cst);
  if (before != 0 && (before & ~bits) == 0 && !g_in_stretch.load()) stop_clocks();
  give_back_switch();
  return true;
}

void cpu_counting_forget() { g_counting.store(0, std::memory_order_seq_cst); }

bool cpu_sampling_is_on() { return is_on(); }

void cpu_sampling_on_stretch_over(StretchOver over) { g_stretch_over = over; }

namespace {

// Once a tick of the kernel's, since the CPU clock is dear.
bool is_due_at_ring(ThreadSlot* slot) {
  const int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
  if (now == slot->last_ring_call_ns) return false;
  slot->last_ring_call_ns = now;
  return true;
}

}  // namespace

void cpu_sampling_in_user_mode_only() {
  if (g_region == nullptr || !fork_flag_holds() || g_settings.is_clock_chosen) return;
  if (g_in_user_mode_only.exchange(true, std::memory_order_seq_cst)) return;
  record()->in_user_mode.store(1, std::memory_order_relaxed);
  const ThreadSlot* own = slot_of_this_thread();
  for_each_thread_slot([own](ThreadSlot* slot) {
    if (slot != own && !is_exiting_slot(*slot)) keep_in_user_mode(slot);
  });
  cpu_sampling_meets_ring();
}

void cpu_sampling_has_ring_thread() {
  if (g_region != nullptr && fork_flag_holds()) record()->ring_threads.fetch_add(1, std::memory_order_relaxed);
}

void cpu_sampling_meets_ring() {
  ThreadSlot* slot = slot_of_this_thread();
  if (slot == nullptr || g_region == nullptr || !fork_flag_holds()) return;
  const bool is_known = slot->uses_rings.exchange(1, std::memory_order_seq_cst) != 0;
  if (!is_known) {
    take_looks_back(slot);
    cpu_sampling_has_ring_thread();
  }
  // Without a clock no system call is made: a filter may stand there by now. One that is just being started may not have seen it.
  constexpr int kMostLooks = 1000;
  for (int i = 0;
       !is_known && slot->clock_state.load(std::memory_order_seq_cst) == ClockState::starts && i < kMostLooks; ++i)
    raw_syscall(SYS_sched_yield);
  if (!has_clock(*slot) || (is_known && !is_due_at_ring(slot))) return;
  // One made by bare clone may have its creator's thread-local data: what it has used is not due in that slot.
  if (slot->tid.load(std::memory_order_relaxed) != raw_gettid()) return;
  const SignalsBlocked blocked;
  // Of a program that blocks SIGPROF what is pending would go with the clock before.
  if (!blocked.was_blocked(SIGPROF)) tick_in_user_mode(slot, g_settings.clock);
  if (slot->ticks_in_user_mode != 0) count_in_call(slot);
}

void cpu_sampling_thread_begins(ThreadSlot* slot) {
  const int tid = tid_of_this_thread();
  // A switching on that met the slot's last thread at its very end may have left it a clock.
  stop_clock(slot);
  this_thread_is(slot);
  // Before it is looked for other slots of this thread: who adopts it meanwhile sees this one.
  slot->tid.store(tid, std::memory_order_seq_cst);
  drop_adopted(slot, tid, [](ThreadSlot* other) {
    stop_clock(other);
    give_back_thread_slot(other);
  });
  start_clock_if_on(slot, tid);
}

void cpu_sampling_thread_ends(ThreadSlot* slot) {
  if (raw_gettid() == raw_getpid()) g_ended_main.store(raw_gettid(), std::memory_order_relaxed);
  slot->tid.store(0, std::memory_order_seq_cst);
  stop_clock(slot);
  this_thread_is(nullptr);
  give_back_thread_slot(slot);
}

void cpu_sampling_pause_thread(ThreadSlot* slot) {
  // Who has no descriptor of its perf event any more cannot stop what copies of that keep ticking.
  if (slot->perf_page != 0 && slot->perf_fd < 0) helpers_await_closing();
  stop_clock(slot);
  // One that the thread blocks is still pending. (The kernel drops a POSIX timer's at exec, a perf event's it does not.)
  drop_pending_ticks();
}

void cpu_sampling_resume_thread(ThreadSlot* slot) { start_clock_if_on(slot, raw_gettid()); }

void cpu_sampling_hold_thread(ThreadSlot* slot) {
  const SignalsBlocked blocked;
  slot->held.store(1, std::memory_order_seq_cst);
  take_looks_back(slot);
  stop_clock(slot);
  if (is_on()) held_ticks_begin(slot);
  drop_pending_ticks();
}

void cpu_sampling_let_go_thread(ThreadSlot* slot) {
  const SignalsBlocked blocked;
  const uint64_t ticks = take_held_ticks(slot, g_settings.clock);
  slot->held.store(0, std::memory_order_seq_cst);
  start_clock_if_on(slot, raw_gettid());
  const uint32_t stretch = stretch_now();
  if (ticks != 0 && counts_in(stretch)) count_ticks_here(slot, ticks, stretch);
}

unsigned count_unsampled_threads() {
  unsigned unsampled = 0;
  for_each_task([&](int tid) {
    // A main thread that has ended stays in the list.
    if (tid == g_ended_main.load(std::memory_order_relaxed)) return;
    const ThreadSlot* slot = find_slot(tid);
    if (slot == nullptr || (slot->registered == 0 && slot->clock_state.load() == ClockState::off)) ++unsampled;
  });
  return unsampled;
}

void cpu_sampling_meets_signal(const siginfo_t& info, ucontext_t* context) {
  const bool is_ring = is_ring_wait(*context);
  count_tick(info, *context, is_ring);
  ThreadSlot* slot = slot_of_this_thread();
  if (is_ring) go_on_with_ring_wait(slot, context);
  if (slot != nullptr && slot->uses_rings.load(std::memory_order_relaxed) != 0)
    go_over_to_user_mode(slot, *context, is_ring);
}

bool cpu_sampling_give_up() {
  if (!sigprof_give_up()) return false;
  count_loss(LossCause::sigprof_taken);
  cpu_sampling_stop();
  cpu_counting_stop(CountingFor::all);
  looks_give_up();
  helpers_await_closing();
  drop_pending_ticks();
  handler_masks_follow();
  return true;
}

}  // namespace prof
