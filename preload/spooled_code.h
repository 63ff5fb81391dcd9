// Notes in a region that lies in a file what code is mapped in the process: who reads it when the process is gone finds no
// /proc/PID/maps. Libraries that are loaded later are noted when a stack leads through them for the first time.
#pragma once

#include <cstdint>

#include "core/base/region_layout.h"
#include "core/record/owner_record.h"

namespace prof {

// What is loaded now. Normal code. parent: in a child of fork, its region, which has noted it; else null.
void spooled_code_start(OwnerRecord* owner, const RegionHeader* parent);

// As StackSeen: takes the time, and notes the code of a new stack that is not known yet. Signal-safe.
void spooled_code_seen(const uint64_t* frames, uint32_t count, bool is_new);

}  // namespace prof
