// The sampled blocks that are live: address → bucket and birth. Signal-safe and lock-free.
//
//   LiveTable  head_parts[i] ──▶ heads[32768] ──▶ LiveBlock ──▶ LiveBlock ──▶ 0      entries stay in their chain for good
//                                                   address 0: free, for the chain's next block
//
// A block's entry is taken by whoever frees the block, so that at most one thread at a time changes an entry that is in use;
// a free one is claimed by a compare-and-swap of its address. Nothing is unlinked, hence nothing to reclaim and no ABA.
//
// In front of it, in the process's own memory, a filter that free() asks first: a byte for each of 65536 classes of addresses,
// the number of sampled blocks in it. 0: the block is not sampled. A class is a kilobyte of addresses, and neighbouring ones are
// neighbours in the filter too, so that a program that frees here and there in a part of its heap meets few of the filter's cache lines
// (classes scattered by a hash cost g++ 0.8 % of its time in free(), these 0.4 %).
#pragma once

#include "core/base/region.h"

namespace prof {

inline constexpr unsigned kFilterBits = 16;
inline constexpr unsigned kHeadPartBits = 15;
inline constexpr unsigned kMaxHeadParts = 16;

struct LiveHeads {
  std::atomic<Ref> heads[1 << kHeadPartBits];
};

// Root::live
struct LiveTable {
  uint32_t parts;  // 1, or 16 where every allocation is recorded
  Ref head_parts[kMaxHeadParts];
};

struct LiveBlock {
  Ref next;
  Ref bucket;
  std::atomic<uint64_t> address;  // 0: free; 1: being claimed
  int64_t born_ns;                // CLOCK_MONOTONIC_COARSE
};

// A block taken out of the table.
struct TakenBlock {
  Ref bucket = 0;  // 0: it was not there
  int64_t born_ns = 0;
};

extern __attribute__((visibility("hidden"))) std::atomic<uint8_t> g_live_filter[1 << kFilterBits] asm(
    "prof_live_filter");

inline uint64_t hash_of_block(const void* block) {
  // Allocators align to 16. 2^64 / golden ratio.
  return (reinterpret_cast<uint64_t>(block) >> 4) * 0x9e37'79b9'7f4a'7c15;
}

// 64 KB of addresses share a cache line. The sum keeps the beginnings of glibc's arenas apart, which are 64 MB each: the kilobyte, and
// the kilobyte / 64, of the address's low 32 bits: no more of it reaches the 16.
// preload/interpose_malloc.cc has it in machine code too.
inline unsigned filter_class_of(const void* block) {
  static_assert(kFilterBits == 16);
  return static_cast<uint32_t>(reinterpret_cast<uint64_t>(block)) * 65 >> 16;
}

// False: the block is surely not in the table. Whoever frees a block got its address after it was put in, by whatever way the
// program hands it on: relaxed is enough.
inline bool may_be_live(const void* block) {
  return g_live_filter[filter_class_of(block)].load(std::memory_order_relaxed) != 0;
}

// A table for `rate`, in the region. Signal-safe, once. False: no room.
bool live_blocks_create(uint64_t rate);

// Puts a block in. *replaced: the bucket of a block that was still there under this address, 0 if none: its free was not seen.
// False: no room.
bool put_live_block(const void* block, Ref bucket, int64_t born_ns, Ref* replaced);

// Takes a block out: before it is given back to its allocator, or another thread may already have it again.
TakenBlock take_live_block(const void* block);

// A block that is not the allocator's (the bootstrap arena's): may_be_live() is true for it for good.
void always_ask_about(const void* block);

// In a child of fork: nothing is live.
void forget_live_blocks();

}  // namespace prof
