// libprof's own heap: its objects' calls to malloc and its kin are linked to these (wrapped.txt), and go to a jemalloc of its
// own. Nothing of ours is in the host's heap, and the host's allocator cannot block a profile. Normal code only.

#include <cstddef>

extern "C" {

void* prof_je_malloc(size_t);
void* prof_je_calloc(size_t, size_t);
void* prof_je_realloc(void*, size_t);
void prof_je_free(void*);
int prof_je_posix_memalign(void**, size_t, size_t);
void* prof_je_aligned_alloc(size_t, size_t);
void* prof_je_memalign(size_t, size_t);

void* __wrap_malloc(size_t bytes) { return prof_je_malloc(bytes); }
void* __wrap_calloc(size_t count, size_t bytes) { return prof_je_calloc(count, bytes); }
void* __wrap_realloc(void* block, size_t bytes) { return prof_je_realloc(block, bytes); }
void __wrap_free(void* block) { prof_je_free(block); }
int __wrap_posix_memalign(void** block, size_t alignment, size_t bytes) {
  return prof_je_posix_memalign(block, alignment, bytes);
}
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) { return prof_je_aligned_alloc(alignment, bytes); }
void* __wrap_memalign(size_t alignment, size_t bytes) { return prof_je_memalign(alignment, bytes); }

}  // extern "C"
