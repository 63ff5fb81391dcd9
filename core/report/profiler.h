// The report side put together: region → snapshot → profile → file. Normal code; allocates.
#pragma once

#include <cstdint>

#include "core/base/region_layout.h"
#include "core/report/output.h"

namespace prof {

// Writes what a region of this process holds of a CPU stretch, at exit. numbered: the stretch's number goes into the name.
// unsampled_threads: how many threads had no clock at the end. Failures are said on stderr, one line.
bool write_own_profile(const RegionHeader* region, uint32_t stretch, const Output& output, bool numbered,
                       unsigned unsampled_threads);

// The same of another process that lives, whose region's header is mapped at an address there; and writes into that region what
// became of it (CpuStretch::reported). False: its region cannot be read, and nothing was said or written.
bool write_profile_of_process(int pid, uint64_t region_address, uint32_t stretch, const Output& output, bool numbered);

}  // namespace prof
