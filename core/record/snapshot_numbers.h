// The snapshots that PROF_SIGNAL asked for, and the profiles that are read before an exec. Plain data of the region.
#pragma once

#include "core/base/region.h"

namespace prof {

// Root::snapshots
struct SnapshotNumbers {
  std::atomic<uint32_t> asked;  // from 1
  std::atomic<uint32_t> done;   // the last that its reporter has dealt with
  // Nobody knows beforehand whether an exec will succeed: what was read appears when the region is gone, and does not where the number has
  // changed by then. Who fails goes on when that has been seen: it might end at once, and its region would be gone as well.
  std::atomic<uint32_t> execs;         // attempts, and those that failed: odd from the one to the other
  std::atomic<uint32_t> exec_read;     // for which of these its reporter has read all
  std::atomic<uint32_t> exec_dropped;  // and which of these it knows to have failed
};

constexpr bool is_exec_attempt(uint32_t execs) { return execs % 2 != 0; }

}  // namespace prof
