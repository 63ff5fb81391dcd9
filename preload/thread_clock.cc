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
int g_perf_base = 0;  // descriptors of perf events are above

// A perf event's signal does not carry a value of ours, so its thread is known by this. Only threads that registered
// themselves get a perf event: one made by bare clone may share its creator's thread-local data.
thread_local ThreadSlot* t_slot = nullptr;

// 0: it has ended.
int64_t cpu_time_of(const ThreadSlot& slot) {
  if (&slot == t_slot) return clock_ns(CLOCK_THREAD_CPUTIME_ID);
  const int tid = slot.tid.load(std::memory_order_relaxed);
  return tid == 0 ? 0 : clock_ns(thread_cpu_clock(tid));
}

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

bool create_timer(ThreadSlot* slot, int tid, clockid_t clock) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(signal_value_of(*slot));
  event._sigev_un._tid = tid;
  int timer = -1;
  if (raw_syscall(SYS_timer_create, clock, &event, &timer) < 0) return false;
  slot->timer = timer;
  return true;
}

// The kernel looks at it at its ticks, by the CPU time as it was some time before: an interval of a tick would pass over every other one.
void set_at_each_tick(const ThreadSlot& slot, const ClockSettings& settings) {
  const struct itimerspec at_each_tick = {timespec_of(settings.kernel_tick_ns / 64), {0, 1}};
  raw_syscall(SYS_timer_settime, slot.timer, 0, &at_each_tick, nullptr);
}

bool start_timer(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  const bool in_user_mode = slot->ticks_in_user_mode != 0;
  if (!create_timer(slot, tid, in_user_mode ? thread_user_clock(tid) : thread_cpu_clock(tid))) {
    if (!is_gone(tid)) count_loss(LossCause::timer_refused);
    return false;
  }
  if (in_user_mode) {
    set_at_each_tick(*slot, settings);
    return true;
  }
  const struct itimerspec at_first_tick = {timespec_of(settings.period_ns), {0, 1}};
  raw_syscall(SYS_timer_settime, slot->timer, 0, &at_first_tick, nullptr);
  return true;
}

// The timer beside a perf event, which sees what the thread does in the kernel. Without it the event's signals stand for that too.
void start_kernel_timer(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  if (create_timer(slot, tid, thread_cpu_clock(tid))) set_at_each_tick(*slot, settings);
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

// What is due goes by the CPU clock. What the timer before it had still to wait for is the phase of the one that comes in user mode; where it
// has not ticked yet nothing has been counted, and that is the phase drawn for it.
bool replace_timer(ThreadSlot* slot, const ClockSettings& settings) {
  const int before = slot->timer;
  const int tid = slot->tid.load(std::memory_order_relaxed);
  struct itimerspec rest = {};
  if (tid == 0 || raw_syscall(SYS_timer_gettime, before, &rest) < 0) return false;
  if (!create_timer(slot, tid, thread_user_clock(tid))) return false;
  raw_syscall(SYS_timer_delete, before);
  if (slot->first_seen != 0) {
    slot->clock_start_ns = clock_ns(thread_cpu_clock(tid));
    slot->phase_ns = rest.it_value.tv_sec * 1'000'000'000 + rest.it_value.tv_nsec;
    slot->ticks_given.store(0, std::memory_order_relaxed);
  }
  set_at_each_tick(*slot, settings);
  return true;
}

// So that the event's signals stand for what is due in the kernel too.
void end_kernel_timer(ThreadSlot* slot) {
  if (slot->timer >= 0) raw_syscall(SYS_timer_delete, slot->timer);
  slot->timer = -1;
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

bool start_any_clock(ThreadSlot* slot, int tid, const ClockSettings& settings) {
  slot->first_seen = 0;
  slot->ticks_in_user_mode = settings.clock == CpuClock::user ? 1 : slot->uses_rings.load(std::memory_order_relaxed);
  slot->ticks_given.store(0, std::memory_order_relaxed);
  forget_left_ticks(&slot->left);
  slot->last_tick_ns = 0;
  slot->usage = {};
  slot->ring_ticks.store(0, std::memory_order_relaxed);
  slot->clock_start_ns = clock_ns(thread_cpu_clock(tid));
  slot->phase_ns = draw_phase(*slot, tid, settings.period_ns);
  if (settings.clock == CpuClock::perf && slot->registered != 0) {
    // The thread could not change the period of an event whose descriptor it has not: it is the final one at once.
    if (settings.keeps_no_descriptor) slot->phase_ns = settings.period_ns;
    if (start_perf(slot, tid, settings.keeps_no_descriptor)) {
      if (slot->ticks_in_user_mode == 0) start_kernel_timer(slot, tid, settings);
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

// By who has it in `starts`. False: it was to be stopped meanwhile.
bool runs_or_stops(ThreadSlot* slot) {
  while (!changes(slot, ClockState::starts, ClockState::runs)) {
    if (!changes(slot, ClockState::to_stop, ClockState::stops)) continue;
    end_any_clock(slot);
    return false;
  }
  return true;
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
  return runs_or_stops(slot);
}

void tick_in_user_mode(ThreadSlot* slot, const ClockSettings& settings) {
  if (slot->tid.load(std::memory_order_relaxed) == raw_gettid()) make_tick_in_user_mode(slot, settings);
}

void make_tick_in_user_mode(ThreadSlot* slot, const ClockSettings& settings) {
  if (slot->ticks_in_user_mode != 0 || !changes(slot, ClockState::runs, ClockState::starts)) return;
  if (slot->perf_page != 0) {
    end_kernel_timer(slot);
    slot->ticks_in_user_mode = 1;
  } else if (replace_timer(slot, settings)) {
    slot->ticks_in_user_mode = 1;
  }
  runs_or_stops(slot);
}

OpenTicks stop_thread_clock(ThreadSlot* slot, const ClockSettings& settings) {
  for (;;) {
    switch (slot->clock_state.load(std::memory_order_acquire)) {
      case ClockState::off:
      case ClockState::to_stop:
      case ClockState::stops:
        return {};
      case ClockState::starts:
        if (changes(slot, ClockState::starts, ClockState::to_stop)) return {};
        break;
      case ClockState::runs: {
        if (!changes(slot, ClockState::runs, ClockState::stops)) break;
        const OpenTicks rest = give_rest(slot, settings, slot == t_slot);
        end_any_clock(slot);
        return rest;
      }
    }
  }
}

void held_ticks_begin(ThreadSlot* slot) { slot->held_from_ns.store(cpu_time_of(*slot), std::memory_order_relaxed); }

uint64_t take_held_ticks(ThreadSlot* slot, const ClockSettings& settings) {
  const int64_t from = slot->held_from_ns.exchange(kNotHeld, std::memory_order_relaxed);
  if (from == kNotHeld) return 0;
  const int64_t phase = draw_phase(*slot, slot->tid.load(std::memory_order_relaxed), settings.period_ns);
  return due_points(phase, settings.period_ns, cpu_time_of(*slot) - from);
}

DueTicks take_due_ticks(ThreadSlot* slot, const siginfo_t& info, const ucontext_t& context,
                        const ClockSettings& settings) {
  const bool first = slot->first_seen == 0;
  if (slot->ticks_in_user_mode != 0) {
    slot->first_seen = 1;
    if (first && slot->perf_page != 0) set_perf_period(slot, settings);
    const uint64_t in_ring = take_ring_ticks(slot, settings);
    return {.ticks = take_user_ticks(slot, settings), .in_ring = in_ring};
  }
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
