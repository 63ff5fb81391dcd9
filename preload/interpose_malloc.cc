// malloc and its kin: the real ones, with what they allocate and free handed over where it is sampled. Callable at any time: before
// libprof's constructor, after its destructor, and while the loader works.
//
// Every one of them is: count the bytes, call, and once in a while heap_allocated(); or ask the filter, now and then heap_freed(),
// and call. A program's run is full of these, so nothing else belongs on that path.

#include <errno.h>
#include <stddef.h>

#include "preload/heap_sampling.h"
#include "preload/real_allocator.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

using prof::count_bytes;
using prof::g_real_allocator;
using prof::heap_allocated;
using prof::may_be_live;

namespace {

// A block that is about to be freed, if the filter knows its class. False: there is nothing to free.
__attribute__((noinline)) bool is_to_be_freed(void* block) {
  if (prof::is_of_arena(block)) return false;
  prof::heap_freed(block);
  return true;
}

__attribute__((noinline)) void* realloc_of_sampled(void* block, size_t size) {
  if (prof::is_of_arena(block)) return prof::moved_out_of_arena(block, size);
  // Before the call: once the block is given back, another thread may have its address again.
  const prof::TakenBlock taken = prof::heap_taken(block);
  void* result = g_real_allocator.realloc(block, size);
  // realloc(block, 0) frees and returns null; any other null leaves the block as it was.
  prof::heap_settled(block, taken, result != nullptr || size == 0);
  return result;
}

inline void* real_realloc(void* block, size_t size) {
  if (block != nullptr && may_be_live(block)) [[unlikely]]
    return realloc_of_sampled(block, size);
  return g_real_allocator.realloc(block, size);
}

}  // namespace

// Each is a tail call of the real one, but for the one allocation in many that is to be looked at: kept apart, or the compiler
// saves registers for it on every way.
template <typename Call, typename... Arguments>
__attribute__((noinline)) void* looked_at(size_t bytes, Call call, Arguments... arguments) {
  return heap_allocated(call(arguments...), bytes);
}

extern "C" __attribute__((visibility("hidden"), used)) void* prof_looked_at_malloc(size_t size) {
  return heap_allocated(g_real_allocator.malloc(size), size);
}

extern "C" __attribute__((visibility("hidden"), used)) void prof_looked_at_free(void* block) {
  if (is_to_be_freed(block)) g_real_allocator.free(block);
}

// These two are the half of all calls, so their instructions are counted, and their branches even more: the processor fetches one that
// was ever taken more slowly than one that never was. What both do is count_bytes() and may_be_live(). The last two instructions are
// a word of their own, for preload/direct_jumps.h.
#define NAKED \
  EXPORTED __attribute__((naked, aligned(64), no_stack_protector, no_instrument_function))  // whatever CXXFLAGS say
static_assert(offsetof(prof::RealAllocator, malloc) == 0 && offsetof(prof::RealAllocator, free) == 8);
NAKED void* malloc(size_t /*size*/) {
  asm("cmpq $1, %rdi\n"
      "movq %rdi, %rdx\n"
      "movq prof_bytes_left@gottpoff(%rip), %rax\n"
      "adcq $0, %rdx\n"  // an empty block counts as a byte
      "subq %rdx, %fs:(%rax)\n"
      ".balign 8\n"
      ".globl prof_jumps_of_malloc\n"
      ".hidden prof_jumps_of_malloc\n"
      "prof_jumps_of_malloc: jb 1f\n"
      "jmpq *prof_real_allocator(%rip)\n"
      "1: jmp prof_looked_at_malloc");
}

NAKED void free(void* /*block*/) {
  asm("imull $65, %edi, %eax\n"
      "leaq prof_live_filter(%rip), %rdx\n"
      "shrl $16, %eax\n"
      "cmpb $0, (%rdx, %rax)\n"
      ".balign 8\n"
      ".globl prof_jumps_of_free\n"
      ".hidden prof_jumps_of_free\n"
      "prof_jumps_of_free: jne 1f\n"
      "jmpq *prof_real_allocator + 8(%rip)\n"
      "1: jmp prof_looked_at_free");
}

EXPORTED void* calloc(size_t count, size_t size) {
  const size_t bytes = count * size;  // where it overflows, calloc returns null
  if (count_bytes(bytes)) [[unlikely]]
    return looked_at(bytes, g_real_allocator.calloc, count, size);
  return g_real_allocator.calloc(count, size);
}

EXPORTED void* realloc(void* block, size_t size) {
  if (count_bytes(size)) [[unlikely]]
    return looked_at(size, real_realloc, block, size);
  return real_realloc(block, size);
}

EXPORTED void* reallocarray(void* block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(block, bytes);
}

EXPORTED void* memalign(size_t alignment, size_t size) {
  if (count_bytes(size)) [[unlikely]]
    return looked_at(size, g_real_allocator.memalign, alignment, size);
  return g_real_allocator.memalign(alignment, size);
}

EXPORTED int posix_memalign(void** block, size_t alignment, size_t size) {
  const bool may_be_sampled = count_bytes(size);
  const int error = g_real_allocator.posix_memalign(block, alignment, size);
  if (may_be_sampled) heap_allocated(error == 0 ? *block : nullptr, size);
  return error;
}

EXPORTED void* aligned_alloc(size_t alignment, size_t size) {
  if (count_bytes(size)) [[unlikely]]
    return looked_at(size, g_real_allocator.aligned_alloc, alignment, size);
  return g_real_allocator.aligned_alloc(alignment, size);
}

EXPORTED void* valloc(size_t size) {
  if (count_bytes(size)) [[unlikely]]
    return looked_at(size, g_real_allocator.valloc, size);
  return g_real_allocator.valloc(size);
}

EXPORTED void* pvalloc(size_t size) {
  if (count_bytes(size)) [[unlikely]]
    return looked_at(size, g_real_allocator.pvalloc, size);
  return g_real_allocator.pvalloc(size);
}
