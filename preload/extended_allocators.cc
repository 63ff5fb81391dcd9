#include "preload/extended_allocators.h"

#include <cstddef>

#include "preload/call_slots.h"
#include "preload/heap_sampling.h"

namespace prof {
namespace {

// The real functions, by the index of their names below; null: not in this process.
enum Name : unsigned {
  kCfree,
  kFreeSized,
  kFreeAlignedSized,
  kMallocx,
  kRallocx,
  kXallocx,
  kDallocx,
  kSdallocx,
  kMiMalloc,
  kMiMallocSmall,
  kMiZalloc,
  kMiZallocSmall,
  kMiCalloc,
  kMiMallocn,
  kMiRealloc,
  kMiReallocn,
  kMiMallocAligned,
  kMiZallocAligned,
  kMiReallocAligned,
  kMiNew,
  kMiNewNothrow,
  kMiNewAligned,
  kMiFree,
  kMiFreeSize,
  kMiFreeAligned,
  kMiFreeSizeAligned,
  kNames
};
void* g_real[kNames];

template <typename Result, typename... Arguments>
Result real(Name name, Arguments... arguments) {
  return reinterpret_cast<Result (*)(Arguments...)>(g_real[name])(arguments...);
}

template <typename... Arguments>
void* allocate(Name name, size_t size, Arguments... arguments) {
  const bool may_be_sampled = count_bytes(size);
  void* block = real<void*>(name, arguments...);
  return may_be_sampled ? heap_allocated(block, size) : block;
}

// One that may throw: counted after it, or what was counted before would stay so.
template <typename... Arguments>
void* allocate_or_throw(Name name, size_t size, Arguments... arguments) {
  void* block = real<void*>(name, arguments...);
  return count_bytes(size) ? heap_allocated(block, size) : block;
}

template <typename... Arguments>
void* reallocate(Name name, void* block, size_t size, Arguments... arguments) {
  const bool may_be_sampled = count_bytes(size);
  const TakenBlock taken = block != nullptr && may_be_live(block) ? heap_taken(block) : TakenBlock{};
  void* result = real<void*>(name, block, arguments...);
  heap_settled(block, taken, result != nullptr);
  return may_be_sampled ? heap_allocated(result, size) : result;
}

template <typename... Arguments>
void release(Name name, void* block, Arguments... arguments) {
  if (block != nullptr && may_be_live(block)) heap_freed(block);
  real<void>(name, block, arguments...);
}

void cfree(void* block) { release(kCfree, block); }
void free_sized(void* block, size_t size) { release(kFreeSized, block, size); }
void free_aligned_sized(void* block, size_t alignment, size_t size) {
  release(kFreeAlignedSized, block, alignment, size);
}

void* mallocx(size_t size, int flags) { return allocate(kMallocx, size, size, flags); }
void* rallocx(void* block, size_t size, int flags) { return reallocate(kRallocx, block, size, size, flags); }
// In place or not at all; what comes back is the block's size then.
size_t xallocx(void* block, size_t size, size_t extra, int flags) {
  const TakenBlock taken = may_be_live(block) ? heap_taken(block) : TakenBlock{};
  const size_t now = real<size_t>(kXallocx, block, size, extra, flags);
  const bool done = now >= size;
  heap_settled(block, taken, done);
  if (done && count_bytes(size)) heap_allocated(block, size);
  return now;
}
void dallocx(void* block, int flags) { release(kDallocx, block, flags); }
void sdallocx(void* block, size_t size, int flags) { release(kSdallocx, block, size, flags); }

void* mi_malloc(size_t size) { return allocate(kMiMalloc, size, size); }
void* mi_malloc_small(size_t size) { return allocate(kMiMallocSmall, size, size); }
void* mi_zalloc(size_t size) { return allocate(kMiZalloc, size, size); }
void* mi_zalloc_small(size_t size) { return allocate(kMiZallocSmall, size, size); }
void* mi_calloc(size_t count, size_t size) { return allocate(kMiCalloc, count * size, count, size); }
void* mi_mallocn(size_t count, size_t size) { return allocate(kMiMallocn, count * size, count, size); }
void* mi_realloc(void* block, size_t size) { return reallocate(kMiRealloc, block, size, size); }
void* mi_reallocn(void* block, size_t count, size_t size) {
  return reallocate(kMiReallocn, block, count * size, count, size);
}
void* mi_malloc_aligned(size_t size, size_t alignment) { return allocate(kMiMallocAligned, size, size, alignment); }
void* mi_zalloc_aligned(size_t size, size_t alignment) { return allocate(kMiZallocAligned, size, size, alignment); }
void* mi_realloc_aligned(void* block, size_t size, size_t alignment) {
  return reallocate(kMiReallocAligned, block, size, size, alignment);
}
void* mi_new(size_t size) { return allocate_or_throw(kMiNew, size, size); }
void* mi_new_nothrow(size_t size) { return allocate(kMiNewNothrow, size, size); }
void* mi_new_aligned(size_t size, size_t alignment) { return allocate_or_throw(kMiNewAligned, size, size, alignment); }
void mi_free(void* block) { release(kMiFree, block); }
void mi_free_size(void* block, size_t size) { release(kMiFreeSize, block, size); }
void mi_free_aligned(void* block, size_t alignment) { release(kMiFreeAligned, block, alignment); }
void mi_free_size_aligned(void* block, size_t size, size_t alignment) {
  release(kMiFreeSizeAligned, block, size, alignment);
}

#define PROF_CALL(name, index) \
  { #name, reinterpret_cast < void*>(&name), &g_real[index] }
const CallSlot kCalls[kNames] = {PROF_CALL(cfree, kCfree),
                                 PROF_CALL(free_sized, kFreeSized),
                                 PROF_CALL(free_aligned_sized, kFreeAlignedSized),
                                 PROF_CALL(mallocx, kMallocx),
                                 PROF_CALL(rallocx, kRallocx),
                                 PROF_CALL(xallocx, kXallocx),
                                 PROF_CALL(dallocx, kDallocx),
                                 PROF_CALL(sdallocx, kSdallocx),
                                 PROF_CALL(mi_malloc, kMiMalloc),
                                 PROF_CALL(mi_malloc_small, kMiMallocSmall),
                                 PROF_CALL(mi_zalloc, kMiZalloc),
                                 PROF_CALL(mi_zalloc_small, kMiZallocSmall),
                                 PROF_CALL(mi_calloc, kMiCalloc),
                                 PROF_CALL(mi_mallocn, kMiMallocn),
                                 PROF_CALL(mi_realloc, kMiRealloc),
                                 PROF_CALL(mi_reallocn, kMiReallocn),
                                 PROF_CALL(mi_malloc_aligned, kMiMallocAligned),
                                 PROF_CALL(mi_zalloc_aligned, kMiZallocAligned),
                                 PROF_CALL(mi_realloc_aligned, kMiReallocAligned),
                                 PROF_CALL(mi_new, kMiNew),
                                 PROF_CALL(mi_new_nothrow, kMiNewNothrow),
                                 PROF_CALL(mi_new_aligned, kMiNewAligned),
                                 PROF_CALL(mi_free, kMiFree),
                                 PROF_CALL(mi_free_size, kMiFreeSize),
                                 PROF_CALL(mi_free_aligned, kMiFreeAligned),
                                 PROF_CALL(mi_free_size_aligned, kMiFreeSizeAligned)};
#undef PROF_CALL

}  // namespace

void extended_allocators_start() { point_call_slots(kCalls, kNames, nullptr); }

}  // namespace prof
