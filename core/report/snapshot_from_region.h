// Region → Snapshot. Normal code.
#pragma once

#include "core/report/region_view.h"
#include "core/report/snapshot.h"

namespace prof {

// What the region holds of one CPU stretch (its number; 0: none). The view may be of a process that goes on recording: what
// comes while it is read may or may not be in.
Snapshot snapshot_from_region(const RegionView& region, uint32_t stretch);

}  // namespace prof
