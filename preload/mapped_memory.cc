#include "preload/mapped_memory.h"

#include <errno.h>
#include <sys/mman.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "core/base/raw_syscall.h"
#include "preload/call_slots.h"
#include "preload/heap_sampling.h"
#include "preload/real_allocator.h"

namespace prof {
namespace {

void* g_mmap = nullptr;
void* g_mmap64 = nullptr;
void* g_munmap = nullptr;
void* g_mremap = nullptr;

size_t whole_pages(size_t bytes) { return (bytes + 4095) & ~size_t{4095}; }

using Mmap = void* (*)(void*, size_t, int, int, int, off_t);

void* counted_mmap(void* real, void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  void* block = reinterpret_cast<Mmap>(real)(address, bytes, protection, flags, fd, offset);
  const bool is_memory = (flags & MAP_ANONYMOUS) != 0 && (protection & (PROT_READ | PROT_WRITE)) != 0;
  if (block == MAP_FAILED || !is_memory) return block;
  // Over what was there (MAP_FIXED): that is gone.
  if (may_be_live(block)) heap_freed(block);
  heap_mapped(block, whole_pages(bytes));
  return block;
}

void* our_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return counted_mmap(g_mmap, address, bytes, protection, flags, fd, offset);
}
void* our_mmap64(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return counted_mmap(g_mmap64, address, bytes, protection, flags, fd, offset);
}

// Whether something is mapped there. What a mapping lost at its back is not seen when it goes.
bool is_mapped(const void* page) {
  unsigned char resident;
  return raw_syscall(SYS_mincore, page, 1, &resident) != -ENOMEM;
}

int our_munmap(void* address, size_t bytes) {
  const TakenBlock taken = may_be_live(address) ? heap_taken(address) : TakenBlock{};
  const int result = reinterpret_cast<int (*)(void*, size_t)>(g_munmap)(address, bytes);
  if (result == 0) {
    const char* rest = static_cast<char*>(address) + whole_pages(bytes);
    heap_unmapped(rest, taken, is_mapped(rest) ? whole_pages(bytes) : ~size_t{0});
  } else {
    heap_settled(address, taken, /*was_freed=*/false);
  }
  return result;
}

void* our_mremap(void* address, size_t old_bytes, size_t bytes, int flags, ...) {
  va_list list;
  va_start(list, flags);
  void* wanted = va_arg(list, void*);
  va_end(list);
  const TakenBlock taken = may_be_live(address) ? heap_taken(address) : TakenBlock{};
  void* block = reinterpret_cast<void* (*)(void*, size_t, size_t, int, void*)>(g_mremap)(address, old_bytes, bytes,
                                                                                         flags, wanted);
  const bool done = block != MAP_FAILED;
  heap_settled(address, taken, done);
  // Only what was counted goes on being counted: the mapping may be a file's.
  if (done && taken.bucket != 0) heap_mapped(block, whole_pages(bytes));
  return block;
}

const CallSlot kCalls[] = {{"mmap", reinterpret_cast<void*>(&our_mmap), &g_mmap},
                           {"mmap64", reinterpret_cast<void*>(&our_mmap64), &g_mmap64},
                           {"munmap", reinterpret_cast<void*>(&our_munmap), &g_munmap},
                           {"mremap", reinterpret_cast<void*>(&our_mremap), &g_mremap}};

}  // namespace

void mapped_memory_start() {
  // The allocator's own mappings hold the blocks that are counted already.
  point_call_slots(kCalls, sizeof(kCalls) / sizeof(kCalls[0]), reinterpret_cast<const void*>(g_real_allocator.malloc));
}

}  // namespace prof
