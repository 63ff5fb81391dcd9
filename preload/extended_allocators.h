// jemalloc's and mimalloc's own calls (mallocx, mi_malloc and their kin), where such an allocator is in the process.
//
// They are not interposed by exporting their names, as the others are: programs ask whether `mallocx` exists to learn whether
// jemalloc does (a weak reference), and libprof must not make them believe it. Instead the slots through which the loaded
// objects call them are pointed here, at start. Objects that are loaded later, and calls within the allocator, are not seen.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void extended_allocators_start();

}  // namespace prof
