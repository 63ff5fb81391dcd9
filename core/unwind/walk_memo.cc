#include "core/unwind/walk_memo.h"

#include <algorithm>

#include "core/unwind/unwind.h"

namespace prof {
namespace {

constinit WalkMemo g_memos[kWalkMemos];  // else a constructor would touch all of their pages
// Counts the forks on the way to this process, from 1. So nothing need be written to memos that were never used.
std::atomic<uint32_t> g_epoch{1};

}  // namespace

void WalkMemo::end(unsigned same) {
  // Of those added the last ones are there, and of both together the outermost find room.
  const unsigned there = std::min({fresh_, kFrames, kFrames - same});
  for (unsigned i = 1; i <= there; ++i) frames_[same + i - 1] = fresh_frames_[(fresh_ - i) % kFrames];
  kept_ = same + there;
}

WalkMemo* take_walk_memo(unsigned thread) {
  WalkMemo* memo = &g_memos[thread % kWalkMemos];
  const uint32_t epoch = g_epoch.load(std::memory_order_relaxed);
  uint32_t present = memo->taken_.load(std::memory_order_relaxed);
  // By a signal of this thread, or another thread.
  if (present == epoch) return nullptr;
  if (!memo->taken_.compare_exchange_strong(present, epoch, std::memory_order_acquire)) return nullptr;
  memo->epoch_ = epoch;
  return memo;
}

void give_back_walk_memo(WalkMemo* memo) { memo->taken_.store(0, std::memory_order_release); }

void forget_walks() { g_epoch.fetch_add(1, std::memory_order_relaxed); }

}  // namespace prof
