#include "preload/heap_sampling.h"

#include <sys/mman.h>
#include <time.h>

#include <atomic>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "core/record/heap_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/scratch.h"
#include "core/record/stack_table.h"
#include "core/record/unloaded_modules.h"
#include "core/unwind/unwind.h"
#include "preload/thread_clock.h"

namespace prof {
namespace {

enum class State { unknown, off, on };  // unknown: allocations before libprof's constructor

// After how many bytes a thread looks again whether it is to record, while it is not: it costs nothing at that distance, and what
// is switched on is on for all threads soon.
constexpr uint64_t kLookAgain = 64 * 1024;

std::atomic<State> g_state{State::unknown};
uint64_t g_rate = 0;
unsigned g_stack_depth = 0;
void (*g_visit)() = nullptr;

// Of a page that the kernel empties in a child of fork (MADV_WIPEONFORK): one that was made past our fork handlers (a bare system
// call) must not write into its parent's region, which it shares. A child of vfork sees the parent's, and is the parent for us.
std::atomic<uint32_t>* g_not_forked = nullptr;

bool is_on() {
  return g_state.load(std::memory_order_acquire) == State::on && g_not_forked->load(std::memory_order_relaxed) != 0;
}

struct Allocation {
  const void* block;
  size_t size;
  CalleeSaved caller;
  Scratch* scratch;
};

LossCause cause_of(StackEnd end) {
  switch (end) {
    case StackEnd::too_deep:
      return LossCause::stack_too_deep;
    case StackEnd::unreadable:
      return LossCause::stack_unreadable;
    case StackEnd::no_progress:
      return LossCause::stack_no_progress;
    default:
      return LossCause::stack_no_unwind_info;
  }
}

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

// On the scratch stack: a thread's own may be small.
void record_allocation(void* argument) {
  const auto& allocation = *static_cast<const Allocation*>(argument);
  const uint32_t generation = module_generation();
  StackBounds bounds;
  if (const ThreadSlot* slot = slot_of_this_thread(); slot != nullptr) bounds = {slot->stack_low, slot->stack_high};
  uint64_t* frames = allocation.scratch->frames;
  CaptureResult result = capture(allocation.caller, bounds, frames, g_stack_depth);
  if (result.end != StackEnd::complete) {
    count_loss(cause_of(result.end));
    frames[result.frames++] = static_cast<uint64_t>(result.end);
  }
  if (result.frames == 0) frames[result.frames++] = static_cast<uint64_t>(StackEnd::lost);
  const Ref stack = intern_stack(frames, result.frames, generation);
  const Ref bucket = stack == 0 ? 0 : find_heap_bucket(stack, allocation.size);
  if (bucket == 0) return count_loss(LossCause::region_full);
  record_block(allocation.block, bucket);
}

// Its frame is where the walk begins; libprof's own are left out of every stack.
__attribute__((noinline)) void sample(const void* block, size_t size) {
  Scratch* scratch = take_scratch();
  if (scratch == nullptr) return count_loss(LossCause::no_scratch);
  Allocation allocation = {block, size, {}, scratch};
  CalleeSaved& caller = allocation.caller;
  asm volatile(
      "leaq 0f(%%rip), %%rax\n0:\n\t"
      "movq %%rax, %0\n\t"
      "movq %%rsp, %1\n\t"
      "movq %%rbp, %2\n\t"
      "movq %%rbx, %3\n\t"
      "movq %%r12, %4\n\t"
      "movq %%r13, %5\n\t"
      "movq %%r14, %6\n\t"
      "movq %%r15, %7"
      : "=m"(caller.pc), "=m"(caller.sp), "=m"(caller.bp), "=m"(caller.bx), "=m"(caller.r12), "=m"(caller.r13),
        "=m"(caller.r14), "=m"(caller.r15)
      :
      : "rax");
  prof_call_on_stack(scratch->stack_top(), record_allocation, &allocation);
  give_back_scratch(scratch);
}

}  // namespace

void heap_sampling_start(uint64_t rate, unsigned stack_depth) {
  if (g_not_forked == nullptr) {
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return heap_sampling_stop();
    if (madvise(page, 4096, MADV_WIPEONFORK) != 0) {
      munmap(page, 4096);
      return heap_sampling_stop();
    }
    g_not_forked = static_cast<std::atomic<uint32_t>*>(page);
  }
  g_rate = rate;
  g_stack_depth = stack_depth;
  g_not_forked->store(1, std::memory_order_relaxed);
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
  if (!next_sample(size, g_rate)) return block;
  sample(block, size);
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

void heap_shrunk(const void* rest, const TakenBlock& taken, size_t bytes) {
  if (taken.bucket == 0) return;
  const auto* bucket = region_at<HeapBucket>(taken.bucket);
  heap_settled(rest, taken, /*was_freed=*/true);
  if (bytes >= bucket->size) return;
  const Ref smaller = find_heap_bucket(bucket->stack, bucket->size - bytes);
  if (smaller == 0) return count_loss(LossCause::region_full);
  record_block(rest, smaller);
}

void heap_resampled(const void* block, size_t size) {
  const ErrnoSaver errno_saver;
  if (is_on()) sample(block, size);
}

void heap_freed(void* block) { heap_settled(block, heap_taken(block), /*was_freed=*/true); }

}  // namespace prof
