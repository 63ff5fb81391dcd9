#include "core/record/heap_buckets.h"

#include <criterion/criterion.h>

#include <random>
#include <thread>
#include <vector>

#include "core/record/record.h"
#include "core/record/stack_table.h"
#include "core/report/snapshot_from_region.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({.heap_rate = 1, .heap_peak = true}));
}

static Ref stack_of(uint64_t leaf) {
  const uint64_t frames[] = {0x10'0000 + leaf, 0x20'0000};
  return intern_stack(frames, 2, 0);
}

static HeapBucket* bucket_of(uint64_t leaf, uint64_t size) {
  return region_at<HeapBucket>(find_heap_bucket(stack_of(leaf), size));
}

static Snapshot snapshot() { return snapshot_from_region(RegionView::of_self(g_region), {0, true}); }

Test(heap_buckets, one_for_each_stack_and_size, .init = setup) {
  cr_assert_eq(bucket_of(1, 10), bucket_of(1, 10));
  cr_assert_neq(bucket_of(1, 10), bucket_of(1, 11));
  cr_assert_neq(bucket_of(1, 10), bucket_of(2, 10));
  count_allocated(bucket_of(1, 10));
  count_allocated(bucket_of(1, 10));
  count_freed(bucket_of(1, 10));
  unsigned found = 0;
  for (const HeapSample& sample : snapshot().heap.samples) {
    if (sample.allocated == 0) continue;
    ++found;
    cr_assert_eq(sample.size, 10u);
    cr_assert_eq(sample.allocated, 2u);
    cr_assert_eq(sample.freed, 1u);
  }
  cr_assert_eq(found, 1u);
}

// Against a model that copies everything at every new peak.
Test(heap_buckets, the_peak_is_what_lived_at_the_highest_bytes, .init = setup) {
  constexpr unsigned kBuckets = 20;
  std::mt19937 random(7);
  uint64_t allocated[kBuckets] = {};
  uint64_t freed[kBuckets] = {};
  uint64_t peak_allocated[kBuckets] = {};
  uint64_t peak_freed[kBuckets] = {};
  int64_t live = 0;
  int64_t peak = 0;
  for (int i = 0; i < 50'000; ++i) {
    const unsigned b = random() % kBuckets;
    const uint64_t size = 100 * (b + 1);
    // Hills of several heights: the share of frees swings.
    const bool grows = random() % 1000 < 500 + 100 * static_cast<unsigned>(i / 5000 % 2) - 40;
    if (grows || allocated[b] == freed[b]) {
      count_allocated(bucket_of(b, size));
      ++allocated[b];
      live += static_cast<int64_t>(size);
      if (live > peak) {
        peak = live;
        std::copy(allocated, allocated + kBuckets, peak_allocated);
        std::copy(freed, freed + kBuckets, peak_freed);
      }
    } else {
      count_freed(bucket_of(b, size));
      ++freed[b];
      live -= static_cast<int64_t>(size);
    }
  }
  const Snapshot s = snapshot();
  cr_assert_eq(region_root<HeapRecord>(Root::heap)->peak_bytes.load(), peak);
  for (const HeapSample& sample : s.heap.samples) {
    const uint64_t b = sample.size / 100 - 1;
    cr_assert_eq(sample.allocated, allocated[b]);
    cr_assert_eq(sample.freed, freed[b]);
    cr_assert_eq(sample.peak_allocated, peak_allocated[b]);
    cr_assert_eq(sample.peak_freed, peak_freed[b]);
  }
}

Test(heap_buckets, threads_lose_nothing, .init = setup) {
  constexpr int kRounds = rounds(20'000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kRounds; ++i) {
        HeapBucket* bucket = bucket_of(i % 50, 8);
        count_allocated(bucket);
        if (i % 2 != 0) count_freed(bucket);
      }
    });
  }
  // What is seen meanwhile is never negative.
  for (int i = 0; i < 50; ++i) {
    for (const HeapSample& sample : snapshot().heap.samples) cr_assert_geq(sample.allocated, sample.freed);
  }
  for (auto& thread : threads) thread.join();
  uint64_t allocated = 0;
  uint64_t freed = 0;
  for (const HeapSample& sample : snapshot().heap.samples) {
    allocated += sample.allocated;
    freed += sample.freed;
  }
  cr_assert_eq(allocated, 4u * kRounds);
  cr_assert_eq(freed, 2u * kRounds);
  cr_assert_eq(region_root<HeapRecord>(Root::heap)->live_bytes.load(), 2 * kRounds * 8);
}
