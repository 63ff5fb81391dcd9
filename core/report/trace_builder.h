// Snapshot::Trace → a file in the trace-event format, which ui.perfetto.dev, chrome://tracing, speedscope and Firefox
// Profiler read: JSON, packed by gzip. Normal code.
//
// Two tracks a thread, of slices (B and E events: what all of those viewers show):
//   NAME         the thread's life; in it its labels, as "key=value", and its waits, in each of these the time from what ended it to the waiter's going on ("wake-up"),
//                with an arrow (s and f events) from the slice of the call that did it ("unlock", "signal")
//   NAME stacks  call stacks over time: of each wait while it lasted, and of each tick of the CPU clock for the period before it, but for
//                what of that was spent in a wait or is an earlier tick's. Nothing is known between ticks: a slice there is one sample
// Times are microseconds since the process's recording began, with decimals to the nanosecond.
#pragma once

#include <string>

#include "core/report/module_map.h"
#include "core/report/snapshot.h"
#include "core/report/symbolizer.h"

namespace prof {

// Empty: no memory.
std::string build_trace(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer);

}  // namespace prof
