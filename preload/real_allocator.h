// The allocator behind ours: malloc and its kin as the program would find them without libprof. Found at the first call of any,
// which may come before libprof's constructor, or from within the search itself; those are served from a small arena.
//
// Normal code, and callable wherever malloc is.
#pragma once

#include <cstddef>

namespace prof {

// Each is valid at any time: before the search it points to a function that searches first.
struct RealAllocator {
  void* (*malloc)(size_t);
  void (*free)(void*);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void* (*memalign)(size_t, size_t);
  int (*posix_memalign)(void**, size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  void* (*valloc)(size_t);
  void* (*pvalloc)(size_t);
};
extern __attribute__((visibility("hidden"))) RealAllocator g_real_allocator asm("prof_real_allocator");

// Searches now, if nobody has allocated yet. errno stays. False: this call comes from within the search.
bool find_real_allocator();

// Whether a block is of the arena: freeing it does nothing, and its size is not known to the allocator.
bool is_of_arena(const void* block);
// A block of the arena, grown: a real one with its content. Null with errno: as malloc.
void* moved_out_of_arena(const void* block, size_t size);

}  // namespace prof
