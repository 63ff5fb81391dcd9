// What ended each wait of a trace: found from the events of all threads, since a waiter is not told. Normal code.
//
//   a lock        the last release of it before the wait's end, by another thread: from then on the waiter has it itself. A mutex's release may be
//                 noted a moment later
//   a condition   the first signal to it after the wait's beginning that has not woken as many as it may have
//   a barrier     the arrival of the last one
//   a join        the end of the thread that is joined
//
// Semaphores and spin locks: not known, as nothing is noted where they are given free. Nor where a release's event was
// written over, or the other thread is not libprof's acquaintance.
#pragma once

#include <cstdint>
#include <vector>

#include "core/report/snapshot.h"

namespace prof {

// Of a wait; by index into Snapshot::Trace::threads, and TracedThread::items.
struct WaitCause {
  static constexpr uint32_t kThreadEnd = ~uint32_t{0};
  uint32_t waiter = 0, wait = 0;
  uint32_t thread = 0;
  uint32_t item = 0;    // the release; kThreadEnd: the thread's end
  int64_t time_ns = 0;  // of it: within the wait, or before it where a thread was about to end
};

// In the order of waiter and wait.
std::vector<WaitCause> causes_of_waits(const std::vector<TracedThread>& threads);

}  // namespace prof
