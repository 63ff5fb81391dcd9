// Region → Snapshot. Normal code.
#pragma once

#include "core/report/region_view.h"
#include "core/report/snapshot.h"

namespace prof {

struct SnapshotParts {
  uint32_t stretch = 0;       // of CPU sampling; 0: none
  bool cumulative = false;    // every other kind
  uint32_t views = 0;         // the number of a snapshot of all threads; 0: none
  bool cpu_total = false;     // all CPU ticks that there ever were, where stretch is 0
  bool trace = false;         // what threads did, between these (CLOCK_MONOTONIC)
  int64_t trace_from_ns = 0;  // 0: all that is there
  int64_t trace_to_ns = 0;    // 0: now
  int64_t ended_ns = 0;       // when the process ended, which is here no more (CLOCK_MONOTONIC); 0: it lives
};

// What the region holds of these parts. The view may be of a process that goes on recording: what comes while it is read may or
// may not be in.
Snapshot snapshot_from_region(const RegionView& region, const SnapshotParts& parts);

}  // namespace prof
