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
// A timer on the CPU time that the kernel's ticks met in user mode (PROF_CPU_CLOCK=user, and a thread that waits on rings) is asked for at each
// of them: what is due by the CPU clock is counted there, but for what a thread on rings did in the kernel (due_ticks.h). What follows the last is
// its place's too, when the clock is stopped.
//
// A perf event counts the thread's CPU time, and signals when a period is over; with a timer beside it. What their signals stand for is in
// due_ticks.h.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "core/record/cpu_buckets.h"
#include "core/record/thread_table.h"
#include "preload/due_ticks.h"

namespace prof {

// Starts the clock of a thread of this process, the calling one or another: any number of threads may start and stop it at once, and the last of
// them has its way. False: refused (counted).
bool start_thread_clock(ThreadSlot* slot, int tid, const ClockSettings& settings);
// Answers how many of the slot's left ticks are to be counted, the oldest first and no more than there are: by the caller, and by nobody else.
OpenTicks stop_thread_clock(ThreadSlot* slot, const ClockSettings& settings);

// Of a thread that is held, and so has no clock: what it uses from here on is due.
void held_ticks_begin(ThreadSlot* slot);
// What is due for what it has used since then; none where that was not called. An end of it. By the thread itself, or another.
uint64_t take_held_ticks(ThreadSlot* slot, const ClockSettings& settings);

// In the handler, on the thread itself.
DueTicks take_due_ticks(ThreadSlot* slot, const siginfo_t& info, const ucontext_t& context,
                        const ClockSettings& settings);

// On the thread itself, in the handler or with SIGPROF blocked, of a slot whose clock may have been stopped: it ticks in user mode only from
// here on, and what is due in the kernel is counted where the thread is next. A clock that starts with the slot's uses_rings does so at once.
void tick_in_user_mode(ThreadSlot* slot, const ClockSettings& settings);
// The same for another thread, or the calling one. With every signal blocked: who is amid it has the slot's clock.
void make_tick_in_user_mode(ThreadSlot* slot, const ClockSettings& settings);

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
