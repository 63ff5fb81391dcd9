#include "preload/real_allocator.h"

#include <dlfcn.h>
#include <errno.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/live_blocks.h"

namespace prof {
namespace {

// Serves what the loader allocates while it looks our symbols up: some hundred bytes, if anything.
constexpr size_t kArenaBytes = 32 * 1024;
alignas(16) char g_arena[kArenaBytes];
std::atomic<size_t> g_arena_used{0};

void* from_arena(size_t size, size_t alignment) {
  size_t used = g_arena_used.load(std::memory_order_relaxed);
  size_t begin;
  do {
    begin = (used + sizeof(size_t) + alignment - 1) & ~(alignment - 1);
    if (size > kArenaBytes || begin + size > kArenaBytes) {
      errno = ENOMEM;
      return nullptr;
    }
  } while (!g_arena_used.compare_exchange_weak(used, begin + size, std::memory_order_relaxed));
  memcpy(g_arena + begin - sizeof(size_t), &size, sizeof(size));  // in front of the block: for moved_out_of_arena
  always_ask_about(g_arena + begin);
  return g_arena + begin;
}

enum class Search { not_begun, going_on, done };
std::atomic<Search> g_search{Search::not_begun};
std::atomic<int> g_searching_thread{0};

template <typename Function>
void take(Function* function, const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found != nullptr) *function = reinterpret_cast<Function>(found);
}

// True: g_real_allocator is complete. False: this call comes from within the search.
bool search() {
  Search expected = Search::not_begun;
  if (g_search.compare_exchange_strong(expected, Search::going_on)) {
    g_searching_thread.store(raw_gettid());
    const int saved = errno;
    // Others take it over whole, not by halves: blocks of the arena are told by their address only.
    RealAllocator found = g_real_allocator;
    take(&found.malloc, "malloc");
    take(&found.calloc, "calloc");
    take(&found.realloc, "realloc");
    take(&found.free, "free");
    take(&found.memalign, "memalign");
    take(&found.posix_memalign, "posix_memalign");
    take(&found.aligned_alloc, "aligned_alloc");
    take(&found.valloc, "valloc");
    take(&found.pvalloc, "pvalloc");
    g_real_allocator = found;
    errno = saved;
    g_search.store(Search::done, std::memory_order_release);
    return true;
  }
  while (g_search.load(std::memory_order_acquire) != Search::done) {
    if (g_searching_thread.load() == raw_gettid()) return false;
    raw_syscall(SYS_sched_yield);
  }
  return true;
}

// What g_real_allocator points to at first.
void* first_malloc(size_t size) { return search() ? g_real_allocator.malloc(size) : from_arena(size, 16); }
void* first_calloc(size_t count, size_t size) {
  if (search()) return g_real_allocator.calloc(count, size);
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = kArenaBytes + 1;
  return from_arena(bytes, 16);  // zero: it is never used again
}
void* first_realloc(void* block, size_t size) {
  if (search()) return g_real_allocator.realloc(block, size);
  return block == nullptr ? from_arena(size, 16) : nullptr;
}
void first_free(void* block) {
  if (search()) g_real_allocator.free(block);
}
void* first_memalign(size_t alignment, size_t size) {
  return search() ? g_real_allocator.memalign(alignment, size) : from_arena(size, alignment < 16 ? 16 : alignment);
}
int first_posix_memalign(void** block, size_t alignment, size_t size) {
  if (search()) return g_real_allocator.posix_memalign(block, alignment, size);
  *block = from_arena(size, alignment < 16 ? 16 : alignment);
  return *block == nullptr ? ENOMEM : 0;
}
void* first_aligned_alloc(size_t alignment, size_t size) {
  return search() ? g_real_allocator.aligned_alloc(alignment, size) : from_arena(size, alignment < 16 ? 16 : alignment);
}
void* first_valloc(size_t size) { return search() ? g_real_allocator.valloc(size) : from_arena(size, 4096); }
void* first_pvalloc(size_t size) { return search() ? g_real_allocator.pvalloc(size) : from_arena(size, 4096); }

}  // namespace

[[gnu::used]] constinit RealAllocator g_real_allocator = {first_malloc,        first_free,     first_calloc,
                                                          first_realloc,       first_memalign, first_posix_memalign,
                                                          first_aligned_alloc, first_valloc,   first_pvalloc};

bool find_real_allocator() { return search(); }

bool is_of_arena(const void* block) {
  return reinterpret_cast<uintptr_t>(block) - reinterpret_cast<uintptr_t>(g_arena) < kArenaBytes;
}

void* moved_out_of_arena(const void* block, size_t size) {
  size_t old = 0;
  memcpy(&old, static_cast<const char*>(block) - sizeof(old), sizeof(old));
  void* to = g_real_allocator.malloc(size);
  if (to != nullptr) memcpy(to, block, old < size ? old : size);
  return to;
}

}  // namespace prof
