// How many ticks a signal of a perf clock stands for, and where they were. Signal-safe: raw system calls.
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

// What a signal stands for. All may be 0.
struct DueTicks {
  uint64_t ticks = 0;    // counted where the thread is
  uint64_t earlier = 0;  // of those left, the oldest: counted where they were left, which makes an end of all of them
  uint32_t left = 0;     // to be left where the thread is
  uint64_t nobodys = 0;  // counted nowhere
  uint64_t in_ring = 0;  // counted where the thread was met in io_uring_enter

  uint64_t counted() const { return ticks + in_ring; }
};

// Points phase + k * period, k from 0, in (0, span].
uint64_t due_points(int64_t phase, int64_t period, int64_t span);

// In the handler, on the thread itself: the event's signal came.
DueTicks take_perf_ticks(ThreadSlot* slot, const ClockSettings& settings);

// In the handler: the kernel's tick came, by a signal that waits for the thread's way back to the program. What was due in the kernel is that
// call's, or that page's.
DueTicks take_kernel_ticks(ThreadSlot* slot, const ClockSettings& settings, const ucontext_t& context);

// On the thread itself, of a clock that ticks in user mode: all that is due by its CPU clock.
uint64_t take_user_ticks(ThreadSlot* slot, const ClockSettings& settings);

// On the thread itself, of such a clock: of what is due so much as was due in the kernel, by what that says of the thread's time in it. None where
// the thread was never met in io_uring_enter, or is in the kernel for less than a quarter of its time: that may be any call's.
uint64_t take_ring_ticks(ThreadSlot* slot, const ClockSettings& settings);

// Of such a clock, when it begins: what the thread did in the kernel before is not among them. On the thread itself.
void begin_ring_ticks(ThreadSlot* slot, const ClockSettings& settings);

// In the handler: those that were to be left are not wanted.
void drop_due_ticks(ThreadSlot* slot, uint32_t left);

// What was open when a clock was stopped.
struct OpenTicks {
  uint64_t ticks = 0;    // not those of io_uring_enter
  uint64_t in_ring = 0;  // as DueTicks
};

// The clock is being stopped: a handler gives none any more. More than the timer may be left are not of the kernel: their signals were blocked,
// and what the thread did then nobody has seen. is_own: it is the calling thread's.
OpenTicks give_rest(ThreadSlot* slot, const ClockSettings& settings, bool is_own);

}  // namespace prof
