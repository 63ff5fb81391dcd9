// The trace's part of snapshot_from_region(): rings → Snapshot::Trace. Normal code.
#pragma once

#include "core/report/region_reading.h"
#include "core/report/snapshot_from_region.h"

namespace prof {

// The threads that were there between the two times, those first that began first, with what they did then and what
// they wait for now.
void add_trace(const RegionView& region, const SnapshotParts& parts, Stacks* stacks, LabelSets* labels,
               Snapshot* snapshot);

}  // namespace prof
