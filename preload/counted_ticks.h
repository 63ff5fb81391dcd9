// Ticks, counted in the bucket of where their thread is: its stack, name and labels. Signal-safe.
#pragma once

#include <ucontext.h>

#include "core/record/cpu_buckets.h"
#include "core/record/thread_table.h"
#include "preload/due_ticks.h"

namespace prof {

// Normal code, before the first tick.
void counted_ticks_prepare(unsigned stack_depth, int64_t period_ns);

// In the handler, on the thread itself: where the context is. stretch: 0, in none. Of a clock that ticks in user mode the place is kept for what
// is due when it is stopped. is_ring: it is in io_uring_enter, or has just come from there: the place is kept for what is due in that.
void count_ticks_at(ThreadSlot* slot, const ucontext_t& context, const DueTicks& due, uint32_t stretch, bool is_ring);

// In a call of the program's, on the thread itself, with every signal blocked: there. The place is answered.
TickPlace count_ticks_here(ThreadSlot* slot, uint64_t ticks, uint32_t stretch);
// The same in a call of io_uring_enter, and the place is kept; there may be no ticks, and then it is kept alone.
void count_ticks_at_ring(ThreadSlot* slot, uint64_t ticks, uint32_t stretch);

// The oldest so many, where they were left. Of a clock that ticks in user mode a loss is counted where no place is known.
void count_left_ticks(const ThreadSlot& slot, const OpenTicks& open);
bool has_left_place(const ThreadSlot& slot);

}  // namespace prof
