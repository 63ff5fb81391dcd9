// The snapshots that PROF_SIGNAL asked for, and the profiles that are read before an exec. Plain data of the region.
#pragma once

#include "core/base/region.h"

namespace prof {

// Root::snapshots
struct SnapshotNumbers {
  std::atomic<uint32_t> asked;  // from 1
  std::atomic<uint32_t> done;   // the last that its reporter has dealt with
  // Nobody knows beforehand whether an exec will succeed: what was read appears when the region is gone, and does not where the number has
  // changed by then.
  std::atomic<uint32_t> execs;      // attempts, and those that failed
  std::atomic<uint32_t> exec_read;  // for which of these its reporter has read all
};

}  // namespace prof
