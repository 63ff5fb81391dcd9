// Two 64-bit words that change together. Signal-safe and lock-free (cmpxchg16b: every x86-64 processor since 2006).
#pragma once

#include <atomic>
#include <cstdint>

namespace prof {

struct Words {
  uint64_t low;
  uint64_t high;
};

struct alignas(16) AtomicWords {
  std::atomic<uint64_t> low;
  std::atomic<uint64_t> high;

  // May be of two moments; replace() tells.
  Words load() const { return {low.load(std::memory_order_acquire), high.load(std::memory_order_acquire)}; }

  // Sets both where they are as expected, or fills `expected` with what they are, both of one moment.
  bool replace(Words* expected, Words to) {
    bool done;
    asm volatile("lock cmpxchg16b %[words]\n\tsete %[done]"
                 : [words] "+m"(*this), [done] "=q"(done), "+a"(expected->low), "+d"(expected->high)
                 : "b"(to.low), "c"(to.high)
                 : "memory", "cc");
    return done;
  }
};
static_assert(sizeof(AtomicWords) == 16);

}  // namespace prof
