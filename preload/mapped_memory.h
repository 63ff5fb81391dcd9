// PROF_HEAP_MMAP=1: anonymous memory that the program maps itself, as blocks beside malloc's. What its allocator maps is not
// counted again. call_slots.h says which calls are not seen.
//
// A mapping is known by its start. Unmapped from its start on, whole or in part, it is settled; a part in the middle, or a range that
// begins before it, is not seen until the address is given out again. Reservations (PROT_NONE) are not memory yet, and not counted.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void mapped_memory_start();

}  // namespace prof
