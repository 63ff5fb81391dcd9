// Sampled blocks by the stack that allocated them, its thread's labels and their size: how many were allocated, how many freed, and both at the
// moment of the highest live bytes. Counts of samples, not scaled. Signal-safe and lock-free.
//
// The peak is kept without copying anything at it: each new highest value starts an epoch, and a bucket saves its counts when it
// is about to change for the first time in an epoch. At the end a bucket that was not changed in the last epoch is as it was at
// the peak; one that was has what it saved.
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"

namespace prof {

inline constexpr unsigned kHeapHeads = 1 << 15;

struct HeapBucket {
  Ref next;
  Ref stack;
  uint64_t size;                // of each block, bytes as asked for
  float rate;                   // mean bytes between samples when these were taken; 1: each was, and stands for itself
  LabelId labels;               // of the thread that allocated
  std::atomic<uint64_t> freed;  // before `allocated`: a reader that meets it first never sees more freed than allocated
  std::atomic<uint64_t> allocated;
  std::atomic<uint64_t> saved_epoch;  // 0: never
  std::atomic<uint64_t> saved_freed;
  std::atomic<uint64_t> saved_allocated;
};

// Root::heap
struct HeapRecord {
  uint64_t rate;        // as it is now
  uint64_t keeps_peak;  // 1: the peak is kept
  int64_t start_unix_ns;
  char foreign_malloc[256];         // the file whose malloc comes before ours; empty: ours comes first
  std::atomic<uint64_t> epoch;      // of the highest live bytes, from 1
  std::atomic<int64_t> live_bytes;  // estimated; kept only for the peak
  std::atomic<int64_t> peak_bytes;
  std::atomic<int64_t> peak_unix_ns;
  std::atomic<uint32_t> is_used;  // 0: there is no bucket yet, and a reader need not look for one
  std::atomic<Ref> heads[kHeapHeads];
};

// The bucket of a stack, a size and labels, new or old. rate: see there. 0: no room.
Ref find_heap_bucket(Ref stack, uint64_t size, LabelId labels = 0, uint64_t rate = 1);

// A sampled block was allocated (and is live), or freed.
void count_allocated(HeapBucket* bucket);
void count_freed(HeapBucket* bucket);

}  // namespace prof
