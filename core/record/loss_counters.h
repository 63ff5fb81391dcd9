// What was not recorded, or not whole, by cause. Signal-safe: atomic counters in the region.
#pragma once

#include "core/base/region.h"

namespace prof {

// The order is part of the region's layout; loss_text() (core/report/loss_text.h) says each to people.
enum class LossCause : unsigned {
  region_full,       // the region may not grow: no room for a stack or a bucket
  no_scratch,        // more handlers at once than there is scratch memory
  timer_refused,     // timer_create failed: that thread is not sampled
  perf_refused,      // perf_event_open failed for a thread: it got a timer
  thread_untracked,  // no room in the thread table: that thread is not sampled
  stack_too_deep,    // the others: stacks that end before the thread's start, by StackEnd
  stack_no_unwind_info,
  stack_unreadable,
  stack_no_progress,
  free_unseen,             // a live block's address was given out again: its free went past the hooks
  live_block_lost,         // no room for a live block: it counts as allocated and freed
  stack_unknown_register,  // a StackEnd too
  wait_of_unknown_thread,  // a thread that was made past libprof has waited
  stack_no_frame_pointer,  // a StackEnd too
  sigprof_taken,           // the program, or another library, handles SIGPROF: nothing is sampled by it
  label_lost,              // no room for a thread's label
  label_cut,               // a label's value was too long
  trace_overwritten,       // events of the trace that later ones of their thread took the place of
  trace_thread_dropped,    // a thread that has ended is in the trace no more: another needed its ring
  trace_no_room,           // an event of a thread that there was no ring for
  child_unseen,            // a child made past the fork handlers (a bare clone, _Fork) that did something itself
  tick_unplaced,           // a thread that ticks in user mode was never met there: nobody knows where it was
  sigprof_blocked,         // a thread blocked SIGPROF by name to its end, or that of the sampling
  count
};
inline constexpr unsigned kLossCauses = static_cast<unsigned>(LossCause::count);

struct LossCounters {
  struct {
    std::atomic<uint64_t> times;
    std::atomic<uint64_t> cpu_ticks;  // those that are in no stack's bucket
  } of[kLossCauses];
};

inline void count_loss(LossCause cause, uint64_t cpu_ticks = 0) {
  auto& counter = region_root<LossCounters>(Root::losses)->of[static_cast<unsigned>(cause)];
  counter.times.fetch_add(1, std::memory_order_relaxed);
  if (cpu_ticks != 0) counter.cpu_ticks.fetch_add(cpu_ticks, std::memory_order_relaxed);
}

}  // namespace prof
