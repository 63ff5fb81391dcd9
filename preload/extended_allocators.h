// jemalloc's and mimalloc's own calls (mallocx, mi_malloc and their kin), where such an allocator is in the process.
//
// They are not interposed by exporting their names, as the others are: programs ask whether `mallocx` exists to learn whether
// jemalloc does (a weak reference), and libprof must not make them believe it. See call_slots.h for what is not seen.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void extended_allocators_start();

}  // namespace prof
