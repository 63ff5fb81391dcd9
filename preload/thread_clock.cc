#include "preload/thread_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"

namespace prof {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint32_t kMaxUnchecked = 31;
int g_perf_base = 0;  // descriptors of perf events are above

// A perf event's signal does not carry a value of ours, so its thread is known by this. Only threads that registered
// themselves get a perf event: one made by bare clone may share its creator's thread-local data.
thread_local ThreadSlot* t_slot = nullptr;

int64_t draw_phase(const ThreadSlot& slot, int tid, int64_t period_ns) {
  // splitmix64 (Steele, Lea, Flood 2014) of what differs between threads and between runs.
  uint64_t x =
      static_cast<uint64_t>(clock_ns(CLOCK_MONOTONIC)) ^ (static_cast<uint64_t>(tid) << 40) ^ signal_value_of(slot);
  x += 0x9e37'79b9'7f4a'7c15;
  x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
  x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
  x ^= x >> 31;
  return 1 + static_cast<int64_t>(x % static_cast<uint64_t>(period_ns));
}

// One that ended while it was about to be given a clock is refused it, and has nothing to lose.
bool is_gone(int tid) { return raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid), tid, 0) == -ESRCH; }

bool create_timer(ThreadSlot* slot, int tid) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(signal_value_of(*slot));
  event._sigev_un._tid = tid;
  int timer = -1;
  if (raw_syscall(SYS_timer_create, thread_cpu_clock(tid), &event, &timer) < 0) return false;
  slot->timer = timer;
  return true;
}

bool start_timer(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  if (!create_timer(slot, tid)) {
    if (!is_gone(tid)) count_loss(LossCause::timer_refused);
    return false;
  }
  const struct itimerspec at_first_tick = {timespec_of(settings.period_ns), {0, 1}};
  raw_syscall(SYS_timer_settime, slot->timer, 0, &at_first_tick, nullptr);
  return true;
}

// The timer beside a perf event, which sees what the thread does in the kernel. Without it the event's signals stand for that too.
void start_kernel_timer(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  if (!create_timer(slot, tid)) return;
  // The kernel looks at it at its ticks, by the CPU time as it was some time before: an interval of a tick would pass over every other one.
  const struct itimerspec at_each_tick = {timespec_of(settings.kernel_tick_ns / 64), {0, 1}};
  raw_syscall(SYS_timer_settime, slot->timer, 0, &at_each_tick, nullptr);
}

// It ticks in user mode only: a signal that comes within a system call makes a write that has begun end short, and a wait with EINTR.
long open_perf_event(int tid, int64_t first_period_ns) {
  struct perf_event_attr attr = {};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof(attr);
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.sample_period = static_cast<uint64_t>(first_period_ns);
  attr.disabled = 1;
  attr.exclude_hv = 1;
  attr.exclude_kernel = 1;
  attr.wakeup_events = 1;
  // Where somebody else keeps it alive, a child that has copied its descriptor, it ends with the program all the same.
  attr.remove_on_exec = 1;
  const long fd = raw_syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
  if (fd != -EINVAL && fd != -E2BIG) return fd;
  attr.remove_on_exec = 0;  // before Linux 5.13
  return raw_syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

bool is_perf_event(int fd, uint64_t id) {
  uint64_t now = 0;
  return raw_syscall(SYS_ioctl, fd, PERF_EVENT_IOC_ID, &now) >= 0 && now == id;
}

// The event is held by a mapping of its one control page, not by the descriptor: the host may close every descriptor it
// finds (daemons do), and ours is closed by ourselves at the first tick.
bool start_perf(ThreadSlot* slot, int tid, bool keeps_no_descriptor) {
  // The event repeats its first period until a signal of it is handled, which in a program that was executed with SIGPROF blocked may be
  // never: at the kernel's least, 10 us, nothing else was done. What a tick counts for goes by the clock, not by when it came.
  constexpr int64_t kLeastPeriodNs = 40'000;
  const long low = open_perf_event(tid, std::max(slot->phase_ns, kLeastPeriodNs));
  if (low < 0) return false;
  // To a high number in the meantime, which a host that counts on the lowest free one does not meet.
  const int fd = static_cast<int>(raw_syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, g_perf_base));
  raw_syscall(SYS_close, low);
  if (fd < 0) return false;
  const struct {
    int type;
    int tid;
  } owner = {F_OWNER_TID, tid};
  const long page = raw_syscall(SYS_mmap, nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const bool is_mapped = page > 0 || page < -4095;
  if (!is_mapped || raw_syscall(SYS_fcntl, fd, F_SETOWN_EX, &owner) < 0 ||
      raw_syscall(SYS_fcntl, fd, F_SETSIG, SIGPROF) < 0 || raw_syscall(SYS_fcntl, fd, F_SETFL, O_ASYNC) < 0 ||
      raw_syscall(SYS_ioctl, fd, PERF_EVENT_IOC_ID, &slot->perf_id) < 0) {
    if (is_mapped) raw_syscall(SYS_munmap, page, kPage);
    raw_syscall(SYS_close, fd);
    return false;
  }
  slot->perf_fd = keeps_no_descriptor ? -1 : fd;
  slot->perf_fd_was = fd;
  slot->perf_page = static_cast<uint64_t>(page);
  raw_syscall(SYS_ioctl, fd, PERF_EVENT_IOC_ENABLE, 0);
  if (keeps_no_descriptor) raw_syscall(SYS_close, fd);
  return true;
}

void close_perf_descriptor(ThreadSlot* slot) {
  // The host may have closed it and opened something of its own under the number.
  if (slot->perf_fd >= 0 && is_perf_event(slot->perf_fd, slot->perf_id)) raw_syscall(SYS_close, slot->perf_fd);
  slot->perf_fd = -1;
}

void close_perf(ThreadSlot* slot) {
  // Who has a copy of the descriptor (a child of fork, a helper thread that has not begun) would keep the event ticking, into the
  // program that this thread executes next.
  if (slot->perf_fd >= 0 && is_perf_event(slot->perf_fd, slot->perf_id))
    raw_syscall(SYS_ioctl, slot->perf_fd, PERF_EVENT_IOC_DISABLE, 0);
  close_perf_descriptor(slot);
  if (slot->perf_page != 0) raw_syscall(SYS_munmap, slot->perf_page, kPage);
  slot->perf_page = 0;
}

// Points phase + k * period, k from 0, in (0, span].
uint64_t due_points(int64_t phase, int64_t period, int64_t span) {
  return span < phase ? 0 : static_cast<uint64_t>((span - phase) / period) + 1;
}

uint64_t take_first_timer_tick(ThreadSlot* slot, const ClockSettings& settings) {
  const int64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  // More than a tick: the signal was blocked in the meantime.
  const int64_t span = std::max(settings.kernel_tick_ns, now - slot->clock_start_ns);
  const uint64_t ticks = due_points(slot->phase_ns, settings.period_ns, span);
  const int64_t until_next = slot->phase_ns + static_cast<int64_t>(ticks) * settings.period_ns - span;
  const struct itimerspec next = {timespec_of(settings.period_ns), timespec_of(std::max<int64_t>(until_next, 1))};
  raw_syscall(SYS_timer_settime, slot->timer, 0, &next, nullptr);
  return ticks;
}

// From the phase to the period. Where the host has closed the descriptor the phase remains: more signals, the same ticks.
void set_perf_period(ThreadSlot* slot, const ClockSettings& settings) {
  uint64_t period = static_cast<uint64_t>(settings.period_ns);
  if (is_perf_event(slot->perf_fd, slot->perf_id))
    raw_syscall(SYS_ioctl, slot->perf_fd, PERF_EVENT_IOC_PERIOD, &period);
  close_perf_descriptor(slot);
}

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

ThreadUsage usage_of_this_thread() {
  struct rusage usage = {};
  if (raw_syscall(SYS_getrusage, RUSAGE_THREAD, &usage) < 0) return {};  // a filter of system calls: as not asked yet
  const auto ns = [](const struct timeval& time) { return (time.tv_sec * 1'000'000 + time.tv_usec) * 1000; };
  return {ns(usage.ru_utime) + ns(usage.ru_stime), ns(usage.ru_stime), static_cast<uint64_t>(usage.ru_nvcsw),
          clock_ns_by_kernel(CLOCK_MONOTONIC)};
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

// Since the timer's last signal the thread has neither waited nor, as far as the kernel's ticks tell, been in the kernel.
bool was_only_in_user_mode(const ThreadUsage& before, const ThreadUsage& now) {
  return before.at_ns != 0 && now.at_ns != 0 && now.kernel_ns == before.kernel_ns &&
         now.voluntary_switches == before.voluntary_switches;
}

// The event's signal came late: of the ticks before it the thread had none in a call. Its processor was not running; a signal that the kernel's
// own work suppressed comes at the next point of the period. Or the thread was switched away from, and was not in the kernel.
bool is_late(const ThreadSlot& slot, const ClockSettings& settings, const Look& look, uint64_t unshown) {
  if (look.since_tick == kNever || is_at_period(settings, look, settings.period_ns / 8)) return false;
  const ThreadUsage usage = usage_of_this_thread();
  const auto periods = static_cast<int64_t>(unshown) + 2;
  if (look.since_tick >= periods * settings.period_ns) return was_only_in_user_mode(slot.usage, usage);
  return slot.usage.at_ns != 0 && usage.voluntary_switches == slot.usage.voluntary_switches;
}

// Since the timer's last signal the thread was switched away from, and not because it waited.
bool was_switched_away(const ThreadUsage& before, const ThreadUsage& now, int64_t kernel_tick_ns) {
  const int64_t away = (now.at_ns - before.at_ns) - (now.cpu_ns - before.cpu_ns);
  return before.at_ns != 0 && away > kernel_tick_ns / 8 && now.voluntary_switches == before.voluntary_switches;
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

// The processor leaves these in two registers when a system call begins, and its end brings them back.
bool is_after_system_call(const ucontext_t& context) {
  const greg_t* registers = context.uc_mcontext.gregs;
  constexpr greg_t kInstructionBytes = 2;  // before them again, where the call is to be restarted
  return registers[REG_RCX] == registers[REG_RIP] || registers[REG_RCX] == registers[REG_RIP] + kInstructionBytes;
}

// The kernel's tick came, by a signal that waits for the thread's way back to the program: what was due in the kernel is that call's, or that
// page's.
DueTicks take_kernel_ticks(ThreadSlot* slot, const ClockSettings& settings, const ucontext_t& context) {
  const ThreadUsage before = slot->usage;
  slot->usage = usage_of_this_thread();
  // Some come at the instruction behind a call, and are not of that.
  const bool is_told = slot->usage.cpu_ns - before.cpu_ns >= settings.kernel_tick_ns / 2;
  const bool in_kernel = !(is_told && was_only_in_user_mode(before, slot->usage)) &&
                         (is_after_system_call(context) || was_in_kernel(before, slot->usage, settings.kernel_tick_ns));
  const Look look = look_now(*slot);
  // A signal of the event that comes while this one is pending is dropped by the kernel: its tick was here.
  const int64_t moment = std::min<int64_t>(50'000, settings.period_ns / 8);
  const bool has_dropped = !in_kernel && look.since_tick != kNever && is_at_period(settings, look, moment);
  const uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
  const int64_t due = open_ticks(*slot, settings, given, has_dropped ? settings.period_ns / 4 : 0);
  if (due <= 0) return {};
  // The event has kept as many from being shown as points of its period have gone by; what is due beyond, it shows yet.
  const uint64_t left = sum_left_ticks(slot->left);
  const int64_t points =
      look.since_tick == kNever ? kNever : (look.since_tick + (has_dropped ? moment : 0)) / settings.period_ns;
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

// The clock is being stopped: a handler gives none any more. More than the timer may be left are not of the kernel: their signals were
// blocked, and what the thread did then nobody has seen.
uint64_t give_rest(ThreadSlot* slot, const ClockSettings& settings) {
  const int tid = slot->tid.load(std::memory_order_relaxed);
  if (slot->perf_page == 0 || (slot != t_slot && tid == 0)) return 0;
  const int64_t cpu_ns = clock_ns(slot == t_slot ? CLOCK_THREAD_CPUTIME_ID : thread_cpu_clock(tid));
  const uint64_t due = due_points(slot->phase_ns, settings.period_ns, cpu_ns - slot->clock_start_ns);
  for (;;) {
    uint64_t given = slot->ticks_given.load(std::memory_order_acquire);
    const auto open = static_cast<int64_t>(due - given);
    if (open <= 0 || open > static_cast<int64_t>(most_open(*slot, settings))) return 0;
    if (slot->ticks_given.compare_exchange_strong(given, due, std::memory_order_acq_rel))
      return static_cast<uint64_t>(open);
  }
}

bool start_any_clock(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  slot->first_seen = 0;
  slot->ticks_given.store(0, std::memory_order_relaxed);
  forget_left_ticks(&slot->left);
  slot->last_tick_ns = 0;
  slot->usage = {};
  slot->clock_start_ns = clock_ns(thread_cpu_clock(tid));
  slot->phase_ns = draw_phase(*slot, tid, settings.period_ns);
  if (settings.clock == CpuClock::perf && slot->registered != 0) {
    // The thread could not change the period of an event whose descriptor it has not: it is the final one at once.
    if (settings.keeps_no_descriptor) slot->phase_ns = settings.period_ns;
    if (start_perf(slot, tid, settings.keeps_no_descriptor)) {
      start_kernel_timer(slot, tid, settings);
      return true;
    }
    if (!is_gone(tid)) count_loss(LossCause::perf_refused);
  }
  return start_timer(slot, tid, settings);
}

void end_any_clock(ThreadSlot* slot) {
  if (slot->timer >= 0) raw_syscall(SYS_timer_delete, slot->timer);
  slot->timer = -1;
  close_perf(slot);
  slot->clock_state.store(ClockState::off, std::memory_order_release);
}

bool changes(ThreadSlot* slot, ClockState from, ClockState to) {
  return slot->clock_state.compare_exchange_strong(from, to, std::memory_order_acq_rel);
}

}  // namespace

bool start_thread_clock(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  // Who stops it, or starts one that is stopped at once, does some system calls. (It may be what a handler here has interrupted.)
  constexpr int kMostLooks = 1000;
  for (int i = 0; !changes(slot, ClockState::off, ClockState::starts); ++i) {
    const ClockState state = slot->clock_state.load(std::memory_order_acquire);
    if (state == ClockState::starts || state == ClockState::runs) return true;
    if (i == kMostLooks) return false;
    raw_syscall(SYS_sched_yield);
  }
  if (!start_any_clock(slot, tid, settings)) {
    end_any_clock(slot);
    return false;
  }
  while (!changes(slot, ClockState::starts, ClockState::runs)) {
    if (!changes(slot, ClockState::to_stop, ClockState::stops)) continue;
    end_any_clock(slot);
    return false;
  }
  return true;
}

uint64_t stop_thread_clock(ThreadSlot* slot, const ClockSettings& settings) {
  for (;;) {
    switch (slot->clock_state.load(std::memory_order_acquire)) {
      case ClockState::off:
      case ClockState::to_stop:
      case ClockState::stops:
        return 0;
      case ClockState::starts:
        if (changes(slot, ClockState::starts, ClockState::to_stop)) return 0;
        break;
      case ClockState::runs: {
        if (!changes(slot, ClockState::runs, ClockState::stops)) break;
        const uint64_t rest = give_rest(slot, settings);
        end_any_clock(slot);
        return rest;
      }
    }
  }
}

DueTicks take_due_ticks(ThreadSlot* slot, const siginfo_t& info, const ucontext_t& context,
                        const ClockSettings& settings) {
  const bool first = slot->first_seen == 0;
  if (slot->perf_page != 0) {
    const bool is_perf = info.si_code != SI_TIMER;
    // Where the kernel's tick is before the event's first, that one still comes by its phase.
    if (first && (is_perf || clock_ns(CLOCK_THREAD_CPUTIME_ID) - slot->clock_start_ns >= slot->phase_ns)) {
      slot->first_seen = 1;
      set_perf_period(slot, settings);
    }
    return is_perf ? take_perf_ticks(slot, settings) : take_kernel_ticks(slot, settings, context);
  }
  slot->first_seen = 1;
  if (first) return {.ticks = take_first_timer_tick(slot, settings)};
  return {.ticks = 1 + static_cast<uint64_t>(std::max(info.si_overrun, 0))};
}

void drop_due_ticks(ThreadSlot* slot, uint32_t left) {
  give_ticks(slot, slot->ticks_given.load(std::memory_order_acquire), left);
}

ThreadSlot* slot_of_signal(const siginfo_t& info) {
  if (info.si_code == SI_TIMER) return slot_of_signal_value(reinterpret_cast<uint64_t>(info.si_value.sival_ptr));
  const bool is_perf = info.si_code == POLL_IN || info.si_code == POLL_HUP;
  return is_perf && t_slot != nullptr && t_slot->perf_page != 0 ? t_slot : nullptr;
}

bool is_from_libprof(const siginfo_t& info) {
  if (info.si_code == SI_TIMER) return is_signal_value(reinterpret_cast<uint64_t>(info.si_value.sival_ptr));
  if (info.si_code == SI_USER) return info.si_pid == 0;
  return info.si_code > 0 && info.si_code != SI_KERNEL;  // POLL_IN and its kin
}

void this_thread_is(ThreadSlot* slot) {
  if (slot != nullptr) slot->registered.store(1, std::memory_order_relaxed);
  t_slot = slot;
}

ThreadSlot* slot_of_this_thread() { return t_slot; }

bool perf_clock_permitted() {
  struct rlimit64 limit = {};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  // The upper half of what there is.
  g_perf_base = static_cast<int>(std::min<uint64_t>(limit.rlim_cur, 65536) / 2);
  if (g_perf_base < 16) return false;
  const long fd = open_perf_event(0, 1'000'000'000);
  if (fd < 0) return false;
  raw_syscall(SYS_close, fd);
  return true;
}

void close_inherited_perf_events() {
  // Their pages are not inherited. The slots are the parent's still, in memory that is shared with it: by now a tick may have closed the
  // descriptor there.
  for_each_thread_slot([](const ThreadSlot* slot) {
    const int fd = slot->perf_fd_was;
    if (slot->perf_id != 0 && is_perf_event(fd, slot->perf_id)) raw_syscall(SYS_close, fd);
  });
}

}  // namespace prof
