// The region of this process: where everything that is recorded lives. region_layout.h draws it.
//
// region_create*() and region_abandon() are for normal code; everything else is signal-safe: atomics, and at a growth a few raw system
// calls. No descriptor is used but by region_create_in(): the host may close or reuse any number it likes.
#pragma once

#include "core/base/region_layout.h"

namespace prof {

extern RegionHeader* g_region;  // null until region_create() succeeded

// Makes the region of this process, with one segment. False: the kernel or a limit refused (nothing is left behind).
bool region_create();
// The same in an empty file, open for reading and writing, which is made `bytes` long (of a hole: what is used of it is taken step by
// step) and need not stay open. Where it has no more room, growth goes on in anonymous memory. False: there is none in it from the
// start, or the kernel knows no way to ask whether there is (before Linux 5.14).
bool region_create_in(int descriptor, uint64_t bytes);

// Puts what is in the region's file into another one, empty and open for reading and writing, and goes on in that. Nobody may be
// recording meanwhile. False: it has no room; all is as it was.
bool region_move_to(int descriptor);

// Forgets the region and unmaps it: in a child of fork, where it is still the parent's. No handler may be running.
void region_abandon();
// The same in two steps: what is there can be read in between. The parent goes on, and so do its threads: what they add to the region
// after the fork is not mapped here, though its header, which is shared memory, says where it lies in the parent.
RegionHeader* region_forget();
void region_unmap(RegionHeader* region);  // null: nothing
// Whether an entry of the region, or of the one that was forgotten last, is mapped here.
bool region_maps(Ref ref);
bool region_maps_forgotten(Ref ref);

// Copies what is in use of the region into a file, at the addresses that it has here: RegionView::of_memory() reads that as it reads
// the memory. False: there is no room.
bool region_copy_to(int descriptor);

// Zeroed bytes for an entry, aligned to 8. 0: the region may not grow any more (the caller counts the loss).
// bytes: 1 to kSegmentBytes / 2.
Ref region_allocate(uint64_t bytes);

// Where an entry lies in this process. ref: from region_allocate(), not 0.
template <typename T>
inline T* region_at(Ref ref) {
  const uint64_t offset = uint64_t{ref} << kRefShift;
  const uint64_t segment = g_region->segment_address[offset >> kSegmentShift].load(std::memory_order_relaxed);
  return reinterpret_cast<T*>(segment + (offset & (kSegmentBytes - 1)));
}

template <typename T>
inline T* region_root(Root root) {
  return region_at<T>(g_region->roots[static_cast<unsigned>(root)]);
}

}  // namespace prof
