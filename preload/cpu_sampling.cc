#include "preload/cpu_sampling.h"

#include <algorithm>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "core/record/scratch.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/unloaded_modules.h"
#include "core/unwind/unwind.h"
#include "preload/alternate_stack.h"
#include "preload/deadly_signals.h"
#include "preload/handler_masks.h"
#include "preload/helper_thread.h"
#include "preload/normal_mutex.h"
#include "preload/pause.h"
#include "preload/real_symbols.h"
#include "preload/ring_waits.h"
#include "preload/sigprof_view.h"
#include "preload/tasks.h"
#include "preload/thread_look.h"
#include "preload/trace_sampling.h"

namespace prof {
namespace {

constexpr int64_t kKeepNameNs = 100'000'000;  // of a thread's CPU time

CpuSettings g_settings;
uint64_t g_keep_name_ticks = 1;
// Threads have clocks while one of the two wants them.
std::atomic<bool> g_in_stretch{false};
std::atomic<unsigned> g_counting{0};  // for whom: bits of CountingFor
std::atomic<int> g_switching{0};      // the thread that is at the switch
std::atomic<bool> g_has_sigprof{false};
std::atomic<int64_t> g_begin_ns{0};  // CLOCK_MONOTONIC: ticks before are dropped
std::atomic<int64_t> g_end_ns{0};    // the first tick from here on ends the stretch
StretchOver g_stretch_over = nullptr;

CpuRecord* record() { return region_root<CpuRecord>(Root::cpu); }

bool is_on() { return g_in_stretch.load(std::memory_order_seq_cst) || g_counting.load(std::memory_order_seq_cst); }

struct Tick {
  ThreadSlot* slot;
  const ucontext_t* context;
  Scratch* scratch;
  DueTicks due;
  uint32_t stretch;  // 0: none
};

// The oldest, where they were left.
void count_left_ticks(const ThreadSlot& slot, uint64_t ticks) {
  LeftTick left[kLeftPlaces];
  const unsigned places = read_left_ticks(slot.left, left);
  for (unsigned i = 0; i < places && ticks != 0; ++i) {
    const auto& [place, most] = left[i];
    // Of an earlier stretch: that has been reported, and its buckets are this one's.
    const uint32_t stretch = place.stretch == record()->stretch.load(std::memory_order_relaxed) ? place.stretch : 0;
    const uint64_t here = std::min<uint64_t>(ticks, most);
    if (!count_cpu_ticks(place.stack, place.thread_name, place.labels, stretch, here))
      count_loss(LossCause::region_full, here);
    ticks -= here;
  }
}

// On the scratch stack.
void record_tick(void* argument) {
  const auto& tick = *static_cast<const Tick*>(argument);
  const Ref name = own_thread_name(tick.slot, tick.due.ticks, g_keep_name_ticks);
  const uint32_t generation = module_generation();
  const StackBounds bounds = {tick.slot->stack_low, tick.slot->stack_high};
  uint64_t* frames = tick.scratch->frames;
  const CaptureResult result =
      capture(*tick.context, bounds, static_cast<unsigned>(tick.slot->tid.load(std::memory_order_relaxed)), frames,
              g_settings.stack_depth);
  const Ref stack = intern_stack(frames, end_stack(frames, result.frames, result.end), generation);
  const LabelId labels = tick.slot->labels.load(std::memory_order_relaxed);
  if (tick.due.ticks != 0 && (stack == 0 || !count_cpu_ticks(stack, name, labels, tick.stretch, tick.due.ticks)))
    count_loss(LossCause::region_full, tick.due.ticks);
  if (tick.due.left != 0 && stack != 0)
    leave_ticks(&tick.slot->left, {stack, name, labels, tick.stretch}, tick.due.left);
  if (tick.due.ticks != 0 && trace_is_on()) trace_sample(tick.slot, name, stack, tick.due.ticks);
}

void stop_clock(ThreadSlot* slot) {
  const uint64_t rest = stop_thread_clock(slot, g_settings.clock);
  if (rest != 0 && !is_recording_paused()) count_left_ticks(*slot, rest);
}

void start_clock_if_on(ThreadSlot* slot, int tid) {
  if (!is_on()) return;
  ClockSettings settings = g_settings.clock;
  settings.keeps_no_descriptor =
      (g_counting.load(std::memory_order_relaxed) & ~static_cast<unsigned>(CountingFor::trace)) != 0;
  start_thread_clock(slot, tid, settings);
  // A switching off that passed this slot before its clock started has not stopped it.
  if (!is_on()) stop_clock(slot);
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

void count_tick(siginfo_t* info, void* context) {
  if (g_region == nullptr) return;
  if (answer_look(*info, *static_cast<const ucontext_t*>(context))) return;
  ThreadSlot* slot = slot_of_signal(*info);
  if (slot == nullptr || !is_on()) return;
  const DueTicks due = take_due_ticks(slot, *info, *static_cast<const ucontext_t*>(context), g_settings.clock);
  uint32_t stretch =
      g_in_stretch.load(std::memory_order_acquire) ? record()->stretch.load(std::memory_order_relaxed) : 0;
  if (stretch != 0 && (g_settings.delay_ns != 0 || g_settings.duration_ns != 0)) {
    const int64_t now = clock_ns_by_kernel(CLOCK_MONOTONIC);
    const bool is_over = g_settings.duration_ns != 0 && now >= g_end_ns.load(std::memory_order_relaxed);
    if (is_over && stop_stretch(/*waits=*/false) && g_stretch_over != nullptr) g_stretch_over(stretch);
    if (is_over || now < g_begin_ns.load(std::memory_order_relaxed)) stretch = 0;
  }
  // Before anything else may end it: they are of before.
  if (due.earlier != 0) {
    count_left_ticks(*slot, due.earlier);
    forget_left_ticks(&slot->left);
  }
  if (is_recording_paused() || (stretch == 0 && !g_counting.load(std::memory_order_relaxed)))
    return drop_due_ticks(slot, due.left);
  if (due.ticks + due.left == 0) return;
  Scratch* scratch = take_scratch();
  if (scratch == nullptr) return count_loss(LossCause::no_scratch, due.ticks);
  Tick tick = {slot, static_cast<const ucontext_t*>(context), scratch, due, stretch};
  prof_call_on_stack(scratch->stack_top(), record_tick, &tick);
  give_back_scratch(scratch);
}

void on_sigprof(int number, siginfo_t* info, void* context) {
  if (!is_from_libprof(*info)) return give_sigprof_to_program(number, info, context);
  const ErrnoSaver errno_saver;
  count_tick(info, context);
  ThreadSlot* slot = slot_of_this_thread();
  go_on_with_ring_wait(slot, static_cast<ucontext_t*>(context));
  if (slot != nullptr && slot->uses_rings.load(std::memory_order_relaxed) != 0)
    tick_in_user_mode(slot, g_settings.clock);
}

std::atomic<int> g_handling_pid{0};  // the process whose handler is ours; 0: none

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
  g_has_sigprof.store(true);
  handler_masks_follow();
  return true;
}

bool cpu_sampling_prepare(const CpuSettings& settings) {
  g_settings = settings;
  g_keep_name_ticks = static_cast<uint64_t>(std::max<int64_t>(kKeepNameNs / settings.clock.period_ns, 1));
  g_in_stretch.store(false);
  g_counting.store(0);
  g_switching.store(0);
  CpuRecord* cpu = record();
  cpu->period_ns = settings.clock.period_ns;
  cpu->clock = settings.clock.clock;
  return sigprof_take();
}

uint32_t cpu_sampling_start() {
  if (!g_has_sigprof.load() || !take_switch()) return 0;
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
  if (!g_has_sigprof.load() || !take_switch()) return false;
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

void cpu_sampling_meets_ring() {
  ThreadSlot* slot = slot_of_this_thread();
  if (slot == nullptr || slot->uses_rings.exchange(1, std::memory_order_seq_cst) != 0) return;
  // Without a clock no system call is made: a filter may stand there by now. One that is just being started may not have seen it.
  constexpr int kMostLooks = 1000;
  for (int i = 0; slot->clock_state.load(std::memory_order_seq_cst) == ClockState::starts && i < kMostLooks; ++i)
    raw_syscall(SYS_sched_yield);
  if (slot->clock_state.load(std::memory_order_acquire) != ClockState::runs) return;
  constexpr uint64_t kAllSignals = ~uint64_t{0};
  uint64_t before = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &kAllSignals, &before, sizeof(before));
  tick_in_user_mode(slot, g_settings.clock);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
}

unsigned count_unsampled_threads() {
  unsigned unsampled = 0;
  for_each_task([&](int tid) {
    const ThreadSlot* slot = find_slot(tid);
    if (slot == nullptr || (slot->registered == 0 && slot->clock_state.load() == ClockState::off)) ++unsampled;
  });
  return unsampled;
}

bool cpu_sampling_has_sigprof() { return g_has_sigprof.load(std::memory_order_relaxed); }

bool cpu_sampling_give_up() {
  if (!g_has_sigprof.exchange(false)) return false;
  count_loss(LossCause::sigprof_taken);
  cpu_sampling_stop();
  cpu_counting_stop(CountingFor::all);
  looks_give_up();
  helpers_await_closing();
  drop_pending_ticks();
  handler_masks_follow();
  return true;
}

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

void cpu_sampling_forked() {
  if (g_handling_pid.load() != 0) g_handling_pid.store(raw_getpid());
}

void cpu_sampling_leave() {
  g_has_sigprof.store(false);
  handler_masks_follow();
  if (!sigprof_is_handled() || program_handles_sigprof()) return;
  g_handling_pid.store(0);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  real::sigaction()(SIGPROF, &ignore, nullptr);
}

}  // namespace prof
