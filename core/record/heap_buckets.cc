#include "core/record/heap_buckets.h"

#include "core/base/clocks.h"
#include "core/record/byte_sampler.h"

namespace prof {
namespace {

HeapRecord* record() { return region_root<HeapRecord>(Root::heap); }

// Before a bucket changes.
void save_for_peak(HeapBucket* bucket, const HeapRecord& heap) {
  const uint64_t epoch = heap.epoch.load(std::memory_order_acquire);
  if (bucket->saved_epoch.load(std::memory_order_relaxed) == epoch) return;
  bucket->saved_freed.store(bucket->freed.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket->saved_allocated.store(bucket->allocated.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket->saved_epoch.store(epoch, std::memory_order_release);
}

int64_t bytes_of_sample(const HeapBucket& bucket) {
  const double blocks = blocks_of_sample(bucket.size, static_cast<uint64_t>(bucket.rate));
  return static_cast<int64_t>(static_cast<double>(bucket.size) * blocks);
}

void raise_peak(HeapRecord* heap, int64_t live) {
  int64_t peak = heap->peak_bytes.load(std::memory_order_relaxed);
  while (live > peak) {
    if (!heap->peak_bytes.compare_exchange_weak(peak, live, std::memory_order_relaxed)) continue;
    heap->peak_unix_ns.store(clock_ns(CLOCK_REALTIME_COARSE), std::memory_order_relaxed);
    heap->epoch.fetch_add(1, std::memory_order_release);
    return;
  }
}

}  // namespace

Ref find_heap_bucket(Ref stack, uint64_t size, LabelId labels, uint64_t rate) {
  const auto kept_rate = static_cast<float>(rate);
  const uint64_t hash =
      ((uint64_t{stack} | uint64_t{labels} << 40) * 0x9e37'79b9'7f4a'7c15) ^ (size * 0xc2b2'ae3d'27d4'eb4f);
  std::atomic<Ref>& head = record()->heads[((hash ^ (hash >> 29)) * 0x9e37'79b9'7f4a'7c15 >> 32) % kHeapHeads];
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    const auto* bucket = region_at<HeapBucket>(ref);
    if (bucket->stack == stack && bucket->size == size && bucket->labels == labels && bucket->rate == kept_rate)
      return ref;
    ref = bucket->next;
  }
  const Ref ref = region_allocate(sizeof(HeapBucket));
  if (ref == 0) return 0;
  auto* bucket = region_at<HeapBucket>(ref);
  bucket->stack = stack;
  bucket->size = size;
  bucket->rate = kept_rate;
  bucket->labels = labels;
  record()->is_used.store(1, std::memory_order_release);
  do {
    bucket->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  return ref;
}

void count_allocated(HeapBucket* bucket) {
  HeapRecord* heap = record();
  if (heap->keeps_peak == 0) {
    bucket->allocated.fetch_add(1, std::memory_order_release);
    return;
  }
  save_for_peak(bucket, *heap);
  bucket->allocated.fetch_add(1, std::memory_order_release);
  const int64_t bytes = bytes_of_sample(*bucket);
  raise_peak(heap, heap->live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes);
}

void count_freed(HeapBucket* bucket) {
  HeapRecord* heap = record();
  if (heap->keeps_peak != 0) {
    save_for_peak(bucket, *heap);
    heap->live_bytes.fetch_sub(bytes_of_sample(*bucket), std::memory_order_relaxed);
  }
  bucket->freed.fetch_add(1, std::memory_order_release);
}

}  // namespace prof
