// Puts the record side's tables into a new region. Normal code, once after region_create().
#pragma once

#include <cstdint>

namespace prof {

// heap_rate: mean bytes between sampled allocations, 0: none are recorded. False: no room (the region is then unusable).
bool record_create(uint64_t heap_rate = 0, bool keeps_peak = false);

}  // namespace prof
