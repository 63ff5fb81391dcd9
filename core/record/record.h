// Puts the record side's tables into a new region. Normal code, once after region_create().
#pragma once

#include <cstdint>

namespace prof {

struct RecordedKinds {
  uint64_t heap_rate = 0;  // mean bytes between sampled allocations, 0: none are recorded
  bool heap_peak = false;
  bool events = false;                    // waits, threads made
  uint32_t trace_ring_bytes = 64 * 1024;  // of each thread, once it is traced
};

// False: no room (the region is then unusable).
bool record_create(const RecordedKinds& kinds);

// The heap's tables in a region that has none: recording begins now. Signal-safe. False: no room.
bool record_create_heap(uint64_t rate, bool keeps_peak);

}  // namespace prof
