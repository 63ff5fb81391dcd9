#include "preload/due_ticks.h"

#include <sys/resource.h>

#include <algorithm>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"

namespace prof {
namespace {

constexpr uint32_t kMaxUnchecked = 31;

// Ticks that have been due since the clock began and are not among the given; negative: too many are. The event's own signal and this clock are
// read some microseconds apart: slack.
int64_t open_ticks(const ThreadSlot& slot, const ClockSettings& settings, uint64_t given, int64_t slack) {
  const int64_t span = clock_ns(CLOCK_THREAD_CPUTIME_ID) - slot.clock_start_ns + slack;
  return static_cast<int64_t>(due_points(slot.phase_ns, settings.period_ns, span) - given);
}

// In the handler. False: the clock has been stopped meanwhile, and who did that has given what was open.
bool give_ticks(ThreadSlot* slot, uint64_t given, uint64_t ticks) {
  const ClockState state = slot->clock_state.load(std::memory_order_acquire);
  const bool is_over = state != ClockState::runs && state != ClockState::starts;
  return !is_over && slot->ticks_given.compare_exchange_strong(given, given + ticks, std::memory_order_acq_rel);
}

// So many are left to the timer; what is beyond was not in system calls, or had its signals blocked.
uint64_t most_open(const ThreadSlot& slot, const ClockSettings& settings) {
  constexpr int64_t kKernelTicks = 4;
  if (slot.timer < 0) return 0;
  return static_cast<uint64_t>(std::max(kKernelTicks * settings.kernel_tick_ns / settings.period_ns, int64_t{1}));
}

// Of what is due by the CPU clock, so much at most.
uint64_t take_of_due(ThreadSlot* slot, const ClockSettings& settings, uint64_t most) {
  const int64_t span = clock_ns(CLOCK_THREAD_CPUTIME_ID) - slot->clock_start_ns;
  const uint64_t due = due_points(slot->phase_ns, settings.period_ns, span);
  const uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
  const uint64_t ticks = due > given ? std::min(due - given, most) : 0;
  return ticks != 0 && give_ticks(slot, given, ticks) ? ticks : 0;
}

ThreadUsage usage_of_this_thread(int64_t now) {
  struct rusage usage = {};
  if (raw_syscall(SYS_getrusage, RUSAGE_THREAD, &usage) < 0) return {};  // a filter of system calls: as not asked yet
  const auto ns = [](const struct timeval& time) { return (time.tv_sec * 1'000'000 + time.tv_usec) * 1000; };
  return {ns(usage.ru_utime) + ns(usage.ru_stime), ns(usage.ru_stime), static_cast<uint64_t>(usage.ru_nvcsw), now};
}

// Of another: the kernel shares the CPU time as its ticks met the thread.
ThreadUsage usage_of_thread(int tid, int64_t cpu_ns) {
  const int64_t in_user_mode = clock_ns(thread_user_clock(tid));
  const int64_t both = clock_ns(thread_ticked_clock(tid));
  if (both <= 0 || in_user_mode > both) return {};
  const double part = static_cast<double>(both - in_user_mode) / static_cast<double>(both);
  return {cpu_ns, static_cast<int64_t>(part * static_cast<double>(cpu_ns)), 0, 0};
}

struct KernelTicks {
  uint64_t before;  // as ThreadSlot::ring_ticks
  uint64_t now;
  bool are_of_ring;

  uint64_t of_ring() const { return are_of_ring ? now - before : 0; }
};

// Of the thread's time in the kernel since it was looked at last.
KernelTicks kernel_ticks(const ThreadSlot& slot, const ClockSettings& settings, const ThreadUsage& usage) {
  const uint64_t before = slot.ring_ticks.load(std::memory_order_relaxed);
  const uint64_t now = std::max(before, 1 + due_points(slot.phase_ns, settings.period_ns, usage.kernel_ns));
  const bool is_much = usage.kernel_ns > usage.cpu_ns / 4;
  return {before, now, before != 0 && is_much && slot.ring_stack.load(std::memory_order_relaxed) != 0};
}

// Whether the kernel's tick met the thread in the kernel, told by what the kernel says of its time there: it shares the CPU time as the ticks
// were shared, so one that met it in the kernel makes that part p greater, by (1 - p) of what stands for a tick, and one in user mode makes it
// smaller, by p of that. What stands for a tick is not known (other threads' and the machine's work make it more or less): a good deal less is
// taken.
bool was_in_kernel(const ThreadUsage& before, const ThreadUsage& now, int64_t kernel_tick_ns) {
  // Asked for the first time: told where no tick has met the thread elsewhere.
  if (before.at_ns == 0 || before.cpu_ns == 0) return now.cpu_ns != 0 && now.kernel_ns == now.cpu_ns;
  const auto went_by = static_cast<double>(now.cpu_ns - before.cpu_ns);
  const auto added = static_cast<double>(now.kernel_ns - before.kernel_ns);
  const double part = static_cast<double>(before.kernel_ns) / static_cast<double>(before.cpu_ns);
  const double least_tick = std::min(went_by, static_cast<double>(kernel_tick_ns) / 8);
  return added - part * went_by > (0.5 - part) * least_tick;
}

constexpr int64_t kNever = INT64_MAX;

struct Look {
  int64_t now;
  int64_t since_tick;  // ns since the event's last signal; kNever: none yet
};

Look look_now(const ThreadSlot& slot) {
  const int64_t now = clock_ns_by_kernel(CLOCK_MONOTONIC);
  return {now, slot.last_tick_ns == 0 ? kNever : now - slot.last_tick_ns};
}

// Whether it is at a point of the event's period, where signals of it are due.
bool is_at_period(const ClockSettings& settings, const Look& look, int64_t margin) {
  const int64_t past = look.since_tick % settings.period_ns;
  return look.since_tick > margin && (past <= margin || past >= settings.period_ns - margin);
}

// Since the timer's last signal the thread has not given the processor up of itself. False where that is not known.
bool has_not_waited(const ThreadUsage& before, const ThreadUsage& now) {
  return before.at_ns != 0 && now.at_ns != 0 && now.voluntary_switches == before.voluntary_switches;
}

// … nor, as far as the kernel's ticks tell, been in the kernel.
bool was_only_in_user_mode(const ThreadUsage& before, const ThreadUsage& now) {
  return has_not_waited(before, now) && now.kernel_ns == before.kernel_ns;
}

// The event's signal came late: of the ticks before it the thread had none in a call. Its processor was not running; a signal that the kernel's
// own work suppressed comes at the next point of the period. Or the thread was switched away from, and was not in the kernel.
bool is_late(const ThreadSlot& slot, const ClockSettings& settings, const Look& look, uint64_t unshown) {
  if (look.since_tick == kNever || is_at_period(settings, look, settings.period_ns / 8)) return false;
  const ThreadUsage usage = usage_of_this_thread(look.now);
  const auto periods = static_cast<int64_t>(unshown) + 2;
  if (look.since_tick >= periods * settings.period_ns) return was_only_in_user_mode(slot.usage, usage);
  return has_not_waited(slot.usage, usage);
}

// Since the timer's last signal the thread was switched away from, and not because it waited.
bool was_switched_away(const ThreadUsage& before, const ThreadUsage& now, int64_t kernel_tick_ns) {
  const int64_t away = (now.at_ns - before.at_ns) - (now.cpu_ns - before.cpu_ns);
  return has_not_waited(before, now) && away > kernel_tick_ns / 8;
}

// own: the signal's. open: those beside it. interrupts(fresh): whether so many that are new among them had nothing to do with a call.
template <typename Interrupts>  // bool(uint64_t)
DueTicks share_out(const ThreadSlot& slot, const ClockSettings& settings, const Look& look, uint64_t own, uint64_t open,
                   Interrupts interrupts) {
  const uint64_t earlier = std::min(sum_left_ticks(slot.left), open);
  const uint64_t fresh = open - earlier;
  if (open > most_open(slot, settings)) return {.ticks = own + fresh, .earlier = earlier};
  if (fresh == 0) return {.ticks = own};
  // What a process's first thread did in the kernel before the event first showed it was the process's start, and no work of where it is now.
  constexpr int64_t kStartNs = 100'000'000;  // of its CPU time; a clock that starts later has nothing to do with that
  const bool is_start = look.since_tick == kNever && slot.clock_start_ns < kStartNs &&
                        slot.tid.load(std::memory_order_relaxed) == raw_getpid();
  if (is_start) return {.ticks = own, .nobodys = fresh};
  if (interrupts(fresh)) return {.ticks = own + fresh};
  return {.ticks = own, .left = static_cast<uint32_t>(fresh)};
}

DueTicks give(ThreadSlot* slot, uint64_t given, const DueTicks& due) {
  return give_ticks(slot, given, due.ticks + due.earlier + due.nobodys) ? due : DueTicks{};
}

// The processor leaves these in two registers when a system call begins, and its end brings them back.
bool is_after_system_call(const ucontext_t& context) {
  const greg_t* registers = context.uc_mcontext.gregs;
  constexpr greg_t kInstructionBytes = 2;  // before them again, where the call is to be restarted
  return registers[REG_RCX] == registers[REG_RIP] || registers[REG_RCX] == registers[REG_RIP] + kInstructionBytes;
}

}  // namespace

uint64_t due_points(int64_t phase, int64_t period, int64_t span) {
  return span < phase ? 0 : static_cast<uint64_t>((span - phase) / period) + 1;
}

DueTicks take_perf_ticks(ThreadSlot* slot, const ClockSettings& settings) {
  // A signal about a period after the last one stands for itself, and the dearer call that reads the CPU clock is spared.
  // One that comes while another is pending is dropped by the kernel, so that now and then, and
  // where the distance is another, the thread's CPU clock says how many have been due; what was given too much or too little
  // in between is made good there.
  const Look look = look_now(*slot);
  slot->last_tick_ns = look.now;
  const bool is_regular = look.since_tick > settings.period_ns / 2 && look.since_tick < settings.period_ns * 3 / 2;
  const uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
  if (is_regular && slot->ticks_unchecked < kMaxUnchecked) {
    ++slot->ticks_unchecked;
    return give(slot, given, {.ticks = 1});
  }
  slot->ticks_unchecked = 0;
  const int64_t open = open_ticks(*slot, settings, given, settings.period_ns / 4);
  // The left ones apart: what was due here has been given at the kernel's tick, a moment ago.
  if (open <= static_cast<int64_t>(sum_left_ticks(slot->left))) return {};
  return give(slot, given, share_out(*slot, settings, look, 1, static_cast<uint64_t>(open) - 1, [&](uint64_t fresh) {
                return is_late(*slot, settings, look, fresh);
              }));
}

DueTicks take_kernel_ticks(ThreadSlot* slot, const ClockSettings& settings, const ucontext_t& context) {
  const Look look = look_now(*slot);
  const ThreadUsage before = slot->usage;
  slot->usage = usage_of_this_thread(look.now);
  // Some come at the instruction behind a call, and are not of that.
  const bool is_told = slot->usage.cpu_ns - before.cpu_ns >= settings.kernel_tick_ns / 2;
  const bool in_kernel = !(is_told && was_only_in_user_mode(before, slot->usage)) &&
                         (is_after_system_call(context) || was_in_kernel(before, slot->usage, settings.kernel_tick_ns));
  // A signal of the event that comes while this one is pending is dropped by the kernel: its tick was here.
  const int64_t moment = std::min<int64_t>(50'000, settings.period_ns / 8);
  const bool has_dropped = !in_kernel && look.since_tick != kNever && is_at_period(settings, look, moment);
  const uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
  const int64_t due = open_ticks(*slot, settings, given, has_dropped ? settings.period_ns / 4 : 0);
  if (due <= 0) return {};
  // The event has kept as many from being shown as points of its period have gone by; what is due beyond, it shows yet.
  const uint64_t left = sum_left_ticks(slot->left);
  const int64_t points = (look.since_tick + (has_dropped ? moment : 0)) / settings.period_ns;
  const uint64_t open = std::min(static_cast<uint64_t>(due), left + static_cast<uint64_t>(points));
  if (open == 0) return {};
  slot->ticks_unchecked = kMaxUnchecked;  // what is given here the event's next signal must not give again
  if (in_kernel) {
    const DueTicks all = give(slot, given, {.ticks = open});
    if (all.ticks != 0) forget_left_ticks(&slot->left);
    return all;
  }
  const uint64_t own = has_dropped && open > left ? 1 : 0;
  if (own != 0) slot->last_tick_ns = look.now;
  return give(slot, given, share_out(*slot, settings, look, own, open - own, [&](uint64_t) {
                return was_switched_away(before, slot->usage, settings.kernel_tick_ns);
              }));
}

uint64_t take_user_ticks(ThreadSlot* slot, const ClockSettings& settings) {
  return take_of_due(slot, settings, UINT64_MAX);
}

uint64_t take_ring_ticks(ThreadSlot* slot, const ClockSettings& settings) {
  if (slot->uses_rings.load(std::memory_order_relaxed) == 0) return 0;
  const KernelTicks kernel = kernel_ticks(*slot, settings, usage_of_this_thread(0));
  slot->ring_ticks.store(kernel.now, std::memory_order_relaxed);
  if (kernel.of_ring() == 0) return 0;
  const uint64_t taken = take_of_due(slot, settings, kernel.of_ring());
  slot->ring_ticks.store(kernel.before + taken, std::memory_order_relaxed);
  return taken;
}

void begin_ring_ticks(ThreadSlot* slot, const ClockSettings& settings) {
  const ThreadUsage usage = usage_of_this_thread(0);
  slot->ring_ticks.store(kernel_ticks(*slot, settings, usage).now, std::memory_order_relaxed);
}

OpenTicks give_rest(ThreadSlot* slot, const ClockSettings& settings, bool is_own) {
  const int tid = slot->tid.load(std::memory_order_relaxed);
  const bool in_user_mode = slot->ticks_in_user_mode != 0;
  if ((slot->perf_page == 0 && !in_user_mode) || (!is_own && tid == 0)) return {};
  const int64_t cpu_ns = clock_ns(is_own ? CLOCK_THREAD_CPUTIME_ID : thread_cpu_clock(tid));
  const uint64_t due = due_points(slot->phase_ns, settings.period_ns, cpu_ns - slot->clock_start_ns);
  for (;;) {
    uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
    const auto open = static_cast<int64_t>(due - given);
    if (open <= 0 || (!in_user_mode && open > static_cast<int64_t>(most_open(*slot, settings)))) return {};
    if (!slot->ticks_given.compare_exchange_strong(given, due, std::memory_order_acq_rel)) continue;
    uint64_t in_ring = 0;
    if (in_user_mode && slot->ring_stack.load(std::memory_order_relaxed) != 0) {
      const ThreadUsage usage = is_own ? usage_of_this_thread(0) : usage_of_thread(tid, cpu_ns);
      in_ring = std::min(kernel_ticks(*slot, settings, usage).of_ring(), static_cast<uint64_t>(open));
    }
    return {static_cast<uint64_t>(open) - in_ring, in_ring};
  }
}

void drop_due_ticks(ThreadSlot* slot, uint32_t left) {
  give_ticks(slot, slot->ticks_given.load(std::memory_order_acquire), left);
}

}  // namespace prof
