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

// operator new and delete of our own code, which would else be those that the program is given (interpose_new.cc). Out of memory:
// null goes on to a fault, in normal code at a profile's writing; there is nothing better to do.
void* __wrap__Znwm(size_t bytes) { return prof_je_malloc(bytes); }
void* __wrap__Znam(size_t bytes) { return prof_je_malloc(bytes); }
void* __wrap__ZnwmRKSt9nothrow_t(size_t bytes, const void*) { return prof_je_malloc(bytes); }
void* __wrap__ZnamRKSt9nothrow_t(size_t bytes, const void*) { return prof_je_malloc(bytes); }
void* __wrap__ZnwmSt11align_val_t(size_t bytes, size_t alignment) { return prof_je_memalign(alignment, bytes); }
void* __wrap__ZnamSt11align_val_t(size_t bytes, size_t alignment) { return prof_je_memalign(alignment, bytes); }
void* __wrap__ZnwmSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const void*) {
  return prof_je_memalign(alignment, bytes);
}
void* __wrap__ZnamSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const void*) {
  return prof_je_memalign(alignment, bytes);
}
void __wrap__ZdlPv(void* block) { prof_je_free(block); }
void __wrap__ZdaPv(void* block) { prof_je_free(block); }
void __wrap__ZdlPvm(void* block, size_t) { prof_je_free(block); }
void __wrap__ZdaPvm(void* block, size_t) { prof_je_free(block); }
void __wrap__ZdlPvRKSt9nothrow_t(void* block, const void*) { prof_je_free(block); }
void __wrap__ZdaPvRKSt9nothrow_t(void* block, const void*) { prof_je_free(block); }
void __wrap__ZdlPvSt11align_val_t(void* block, size_t) { prof_je_free(block); }
void __wrap__ZdaPvSt11align_val_t(void* block, size_t) { prof_je_free(block); }
void __wrap__ZdlPvmSt11align_val_t(void* block, size_t, size_t) { prof_je_free(block); }
void __wrap__ZdaPvmSt11align_val_t(void* block, size_t, size_t) { prof_je_free(block); }
void __wrap__ZdlPvSt11align_val_tRKSt9nothrow_t(void* block, size_t, const void*) { prof_je_free(block); }
void __wrap__ZdaPvSt11align_val_tRKSt9nothrow_t(void* block, size_t, const void*) { prof_je_free(block); }

}  // extern "C"
