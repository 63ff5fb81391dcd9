// Takes the place of libunwind's object pool, whose every call blocks all signals and takes a mutex (and which maps memory
// when it runs low). libunwind's archive is linked without it (tools/deps removes the object). Signal-safe, lock-free: a
// fixed number of blocks behind a bitmap. A block is held for the time of one step, two at most a step.
//
// The names and parameters are libunwind's internal ones (include/mempool.h of 1.6.2).

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {

constexpr unsigned kWords = 4;
constexpr unsigned kBlocksAWord = 64;
constexpr size_t kBlockBytes = 256;  // the largest object, a register state, has 184

alignas(16) unsigned char g_blocks[kWords * kBlocksAWord][kBlockBytes];
std::atomic<uint64_t> g_taken[kWords];

}  // namespace

extern "C" {

// What libunwind would resume a frame with, which nobody here does; its archive refers to it all the same.
int _Ux86_64_setcontext(const void*) { return -1; }

// libunwind would keep a pipe open, to test addresses with when it unwinds the calling thread itself, which it does not here:
// the program's descriptors would begin two numbers later. Linked in the place of pipe2 (preload/wrapped.txt).
int __wrap_pipe2(int*, int) { return -1; }

void _UIx86_64__mempool_init(void*, size_t, size_t) {}

// Null where all are taken: libunwind then gives up that step.
void* _UIx86_64__mempool_alloc(void*) {
  for (unsigned word = 0; word < kWords; ++word) {
    uint64_t taken = g_taken[word].load(std::memory_order_relaxed);
    while (~taken != 0) {
      const unsigned bit = static_cast<unsigned>(__builtin_ctzll(~taken));
      if (g_taken[word].compare_exchange_weak(taken, taken | (uint64_t{1} << bit), std::memory_order_acquire)) {
        return g_blocks[word * kBlocksAWord + bit];
      }
    }
  }
  return nullptr;
}

void _UIx86_64__mempool_free(void*, void* block) {
  const auto index = static_cast<size_t>(static_cast<unsigned char(*)[kBlockBytes]>(block) - g_blocks);
  g_taken[index / kBlocksAWord].fetch_and(~(uint64_t{1} << (index % kBlocksAWord)), std::memory_order_release);
}

}  // extern "C"
