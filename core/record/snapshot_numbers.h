// The snapshots that PROF_SIGNAL asked for. Plain data of the region.
#pragma once

#include "core/base/region.h"

namespace prof {

// Root::snapshots
struct SnapshotNumbers {
  std::atomic<uint32_t> asked;  // from 1
  std::atomic<uint32_t> done;   // the last that its reporter has dealt with
};

}  // namespace prof
