#include "preload/heap_sampling.h"

#include <time.h>

#include <atomic>

#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "core/record/heap_buckets.h"
#include "core/record/loss_counters.h"
#include "preload/fork_flag.h"
#include "preload/own_stack.h"
#include "preload/pause.h"
#include "preload/thread_clock.h"

namespace prof {
namespace {

enum class State { unknown, off, on };  // unknown: allocations before libprof's constructor

// After how many bytes a thread looks again whether it is to record, while it is not: it costs nothing at that distance, and what
// is switched on is on for all threads soon.
constexpr uint64_t kLookAgain = 64 * 1024;

std::atomic<State> g_state{State::unknown};
std::atomic<uint64_t> g_rate{0};  // 0: nothing is sampled, but what is freed is seen
unsigned g_stack_depth = 0;
void (*g_visit)() = nullptr;

bool is_on() { return g_state.load(std::memory_order_acquire) == State::on && fork_flag_holds(); }

void record_block(const void* block, Ref bucket_ref) {
  auto* bucket = region_at<HeapBucket>(bucket_ref);
  Ref replaced = 0;
  const bool is_live = put_live_block(block, bucket_ref, clock_ns(CLOCK_MONOTONIC_COARSE), &replaced);
  if (replaced != 0) {
    count_loss(LossCause::free_unseen);
    count_freed(region_at<HeapBucket>(replaced));
  }
  count_allocated(bucket);
  if (is_live) return;
  // Its free will not be known: better no leak than one that is none.
  count_loss(LossCause::live_block_lost);
  count_freed(bucket);
}

void sample(const void* block, size_t size, uint64_t rate) {
  const Ref stack = own_stack(g_stack_depth);
  if (stack == 0) return;
  const Ref bucket = find_heap_bucket(stack, size, labels_of_this_thread(), rate);
  if (bucket == 0) return count_loss(LossCause::region_full);
  record_block(block, bucket);
}

}  // namespace

void heap_sampling_start(uint64_t rate, unsigned stack_depth) {
  if (!fork_flag_set()) return heap_sampling_stop();
  g_rate.store(rate, std::memory_order_relaxed);
  g_stack_depth = stack_depth;
  g_state.store(State::on, std::memory_order_release);
}

void heap_sampling_stop() { g_state.store(State::off, std::memory_order_release); }

void heap_sampling_pause() { g_state.store(State::unknown, std::memory_order_release); }

void heap_sampling_on_visit(void (*visit)()) { g_visit = visit; }

void* heap_allocated(void* block, size_t size) {
  const ErrnoSaver errno_saver;
  if (block == nullptr) {
    uncount_bytes(size);
    return block;
  }
  if (!is_on()) {
    // Not where it may be on in a moment: unknown yet, or a child of fork that our handlers have not met.
    skip_bytes(g_state.load(std::memory_order_relaxed) == State::off ? kLookAgain : 0);
    return block;
  }
  const uint64_t rate = g_rate.load(std::memory_order_relaxed);
  if (rate == 0 || is_recording_paused()) {
    skip_bytes(kLookAgain);
    return block;
  }
  const uint64_t sampled_by = next_sample(size, rate);
  if (sampled_by == 0) return block;
  sample(block, size, sampled_by);
  if (g_visit != nullptr) g_visit();
  return block;
}

TakenBlock heap_taken(void* block) {
  if (!is_on()) return {};
  return take_live_block(block);
}

void heap_settled(const void* block, const TakenBlock& taken, bool was_freed) {
  if (taken.bucket == 0) return;
  auto* bucket = region_at<HeapBucket>(taken.bucket);
  Ref replaced = 0;
  if (!was_freed) was_freed = !put_live_block(block, taken.bucket, taken.born_ns, &replaced);
  if (was_freed) count_freed(bucket);
}

void heap_mapped(const void* block, size_t size) {
  const ErrnoSaver errno_saver;
  if (is_on() && !is_recording_paused()) sample(block, size, /*rate=*/1);
}

void heap_unmapped(const void* rest, const TakenBlock& taken, size_t bytes) {
  if (taken.bucket == 0) return;
  const auto* bucket = region_at<HeapBucket>(taken.bucket);
  heap_settled(rest, taken, /*was_freed=*/true);
  if (bytes >= bucket->size) return;
  const Ref smaller = find_heap_bucket(bucket->stack, bucket->size - bytes, bucket->labels, /*rate=*/1);
  if (smaller == 0) return count_loss(LossCause::region_full);
  record_block(rest, smaller);
}

void heap_freed(void* block) { heap_settled(block, heap_taken(block), /*was_freed=*/true); }

}  // namespace prof
