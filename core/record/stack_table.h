// Stacks, each stored once. Signal-safe and lock-free: an entry is filled, then published by a compare-and-swap of its chain's
// head; two threads that store the same stack at once may leave it there twice, which readers merge.
//
//   StackTable  heads[hash] ──▶ StackEntry ──▶ StackEntry ──▶ 0
//                                  ├ buckets ──▶ CpuBucket ──▶ … (record/cpu_buckets.h)
//                                  └ frames[count], leaf first
#pragma once

#include "core/base/address.h"
#include "core/base/region.h"

namespace prof {

inline constexpr unsigned kStackHeads = 1 << 15;
inline constexpr unsigned kMaxStackFrames = 1024 + 1;  // the largest PROF_STACK_DEPTH, and an end marker

struct StackTable {
  std::atomic<uint32_t> is_used;  // 0: there is no entry yet
  std::atomic<Ref> heads[kStackHeads];
};

struct StackEntry {
  Ref next;             // written before the entry is published
  uint32_t generation;  // of loaded libraries: record/unloaded_modules.h
  uint64_t hash;
  uint32_t count;  // of frames
  std::atomic<Ref> buckets;
  uint64_t frames[];  // core/base/address.h says what they are
};

// Ends a walk's `count` frames: with a marker where it ended early, which is counted as a loss; never empty. Answers the number now;
// frames has room for two more.
uint32_t end_stack(uint64_t* frames, uint32_t count, StackEnd end);

// Who is told of each stack that is stored or found, in the same context; null: nobody. Set in normal code, before there is any.
using StackSeen = void (*)(const uint64_t* frames, uint32_t count, bool is_new);
extern __attribute__((visibility("hidden"))) StackSeen g_stack_seen;

// The entry of these frames, new or old. 0: no room (the caller counts the loss). count: 1 to kMaxStackFrames.
Ref intern_stack(const uint64_t* frames, uint32_t count, uint32_t generation);

}  // namespace prof
