// Calls that not every platform has, where this one has them: jemalloc's and mimalloc's own (mallocx, mi_malloc and their kin), C23's
// free_sized and free_aligned_sized, the old cfree.
//
// They are not interposed by exporting their names, as the others are: programs ask whether `mallocx` exists to learn whether
// jemalloc does (a weak reference), and libprof must not make them believe it. See call_slots.h for what is not seen.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void extended_allocators_start();

}  // namespace prof
