// The trace: what each thread did, and when, kept in a ring of its own (core/record/trace_rings.h). Lock-free and
// signal-safe where not said otherwise: what is recorded comes from the waiting calls, from the SIGPROF handler, and
// from threads that begin and end.
//
// On while anybody wants it. Whoever switches it on sees to what it is fed by: wait_sampling_start() and
// cpu_sampling_start().
#pragma once

#include <cstdint>

#include "core/record/trace_rings.h"

namespace prof {

extern std::atomic<uint32_t> g_tracers;

// What a place that records asks first, where it has decided to look at the event at all.
inline bool trace_is_on() { return g_tracers.load(std::memory_order_relaxed) != 0; }

// Waits shorter than this are left out: a timeline that had a part of them would be misread. Normal code; the region
// has its tables.
void trace_prepare(int64_t least_wait_ns);
// One more wants it, from now on; one fewer. Events of before stay. Threads that are there already are in it from their
// first event on.
void trace_switch_on();
void trace_switch_off();
// In a child of fork, before it lets go of its parent's region: nobody wants it.
void trace_forget();

// A thread of the program begins or ends, in itself. begin: after its slot knows it.
void trace_thread_begins(ThreadSlot* slot);
void trace_thread_ends(ThreadSlot* slot);

// A wait is over; one that is too short is left out. slot: the calling thread's, null where it has none.
void trace_wait(ThreadSlot* slot, const WaitNote& note, WaitKind kind, int64_t now, WaitEnd end);
// A lock was given free, or a condition signalled, by a call between these times, while others may have waited.
void trace_release(ThreadSlot* slot, WaitKind kind, const void* object, int64_t begin_ns, int64_t end_ns, Ref stack,
                   uint32_t waiters);
// The thread's CPU clock has ticked.
void trace_sample(ThreadSlot* slot, Ref name, Ref stack, uint64_t ticks);
// The thread's labels until now and from now on; 0: none.
void trace_labels(ThreadSlot* slot, LabelId before, LabelId labels);

}  // namespace prof
