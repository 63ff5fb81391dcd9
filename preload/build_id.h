// The build ID of a loaded object, from its notes in memory: what names its debug information. Signal-safe.
#pragma once

#include <link.h>

#include "core/record/unloaded_modules.h"

namespace prof {

// base: what is added to the addresses in the headers. Leaves the segment as it is where the object has none, or a longer one than fits.
void read_build_id(uint64_t base, const ElfW(Phdr) * headers, unsigned count, ModuleSegment* segment);

}  // namespace prof
