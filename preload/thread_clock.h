// The clock that ticks a thread: a POSIX timer on its CPU clock, or a perf_event task-clock. Both deliver SIGPROF to the
// thread itself. Signal-safe: raw system calls.
//
// A POSIX CPU timer is looked at by the kernel's tick only (4 ms at 250 Hz). So each sample stands for whole ticks of the
// kernel, and it is counted like this:
//
//   kernel ticks      |-------t-------|-------t-------|        t = tick period
//   thread runs          ╞════════════╪═══════╡
//                                     ▲ first signal: stands for the t before it, wherever in it the thread began
//
// The first signal is asked for at the thread's first tick; of the t before it, the due points phase + k * period are
// counted, phase drawn from (0, period]; the timer is then set to the next due point. A thread that lives less than t is
// seen with probability life / t and then stands for t: on average right for every length of life. (Rejected: a random first
// expiry alone. It counts a due point only if a tick follows it within the thread's life, which loses t / 2 a thread: 62 %
// of the time of threads that live 3 ms at a 4 ms tick, by calculation and by test.)
//
// A perf event counts the thread's CPU time, and signals when a period is over, but in user mode only: a signal that came within a system
// call would end it short. So a timer runs beside it, at the kernel's tick. The kernel delivers that one's signal on the thread's way back
// to the program, whatever it was at. Where the tick met the kernel, what has become due there is counted: at a system call's end, told by the
// registers, or a page's first touch, told by what the kernel adds to the thread's time in the kernel. (It shares CPU time as its ticks met it,
// so the sign of the change tells what this one has met.) Until a tick meets the kernel, what is due is left (core/record/left_ticks) where the
// thread is seen next: it is counted there when the clock stops, or when it is more than the timer can have missed. What was lost to a switch
// of threads, or of the machine's processors, was no call's, and is counted at once: else the next call that the timer met would have it.
//
// Rejected: all of it to the calls that the timer meets (new pages have half of their time then, 560 of 1000 ms missing at 1000 Hz); one of the
// thread's ticks, drawn by lot when the clock stops (five of twenty ticks in the wrong function).
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "core/record/cpu_buckets.h"
#include "core/record/thread_table.h"

namespace prof {

struct ClockSettings {
  int64_t period_ns = 10'000'000;
  int64_t kernel_tick_ns = 4'000'000;
  CpuClock clock = CpuClock::timer;
  bool keeps_no_descriptor =
      false;  // who starts it, or will stop it, is a helper thread: its descriptors are not the thread's
};

// Starts the clock of a thread of this process, the calling one or another: any number of threads may start and stop it at once, and the last of
// them has its way. False: refused (counted).
bool start_thread_clock(ThreadSlot* slot, int tid, const ClockSettings& settings);
// Answers how many of the slot's left ticks are to be counted, the oldest first and no more than there are: by the caller, and by nobody else.
uint64_t stop_thread_clock(ThreadSlot* slot, const ClockSettings& settings);

// What a signal stands for. All may be 0.
struct DueTicks {
  uint64_t ticks = 0;    // counted where the thread is
  uint64_t earlier = 0;  // of those left, the oldest: counted where they were left, which makes an end of all of them
  uint32_t left = 0;     // to be left where the thread is
  uint64_t nobodys = 0;  // counted nowhere
};

// In the handler, on the thread itself.
DueTicks take_due_ticks(ThreadSlot* slot, const siginfo_t& info, const ucontext_t& context,
                        const ClockSettings& settings);

// In the handler: those that were to be left are not wanted.
void drop_due_ticks(ThreadSlot* slot, uint32_t left);

// The slot that a signal is for; null: the signal is not of a clock of ours.
ThreadSlot* slot_of_signal(const siginfo_t& info);

// Whether a SIGPROF is of a clock or a look of ours, now or earlier, and not the program's: by kill, setitimer or a timer of its own. One
// of which the kernel had to drop what it carries is taken for ours. Signal-safe.
bool is_from_libprof(const siginfo_t& info);

// The calling thread is the slot's; null: it ends. Before its clock is started.
void this_thread_is(ThreadSlot* slot);

// The slot of the calling thread, if it registered itself; else null. Signal-safe.
ThreadSlot* slot_of_this_thread();

// Its labels; without a slot, none. Signal-safe.
inline LabelId labels_of_this_thread() {
  const ThreadSlot* slot = slot_of_this_thread();
  return slot == nullptr ? 0 : slot->labels.load(std::memory_order_relaxed);
}

// Whether perf events may be had here. Tries one; normal code.
bool perf_clock_permitted();

// In a child of fork: closes its copies of the parent's perf events, before the region is abandoned.
void close_inherited_perf_events();

}  // namespace prof
