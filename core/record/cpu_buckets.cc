#include "core/record/cpu_buckets.h"

#include "core/record/stack_table.h"

namespace prof {
namespace {

void add(CpuBucket* bucket, uint32_t stretch, uint64_t ticks) {
  bucket->total.fetch_add(ticks, std::memory_order_relaxed);
  if (stretch == 0) return;
  std::atomic<uint64_t>& word = bucket->words[stretch & 1];
  uint64_t present = word.load(std::memory_order_relaxed);
  uint64_t next;
  do {
    next = (uint64_t{stretch & 0xffff} << kTickBits) | (ticks_of_word(present, stretch) + ticks);
  } while (!word.compare_exchange_weak(present, next, std::memory_order_relaxed));
}

}  // namespace

bool count_cpu_ticks(Ref stack, Ref thread_name, LabelId labels, uint32_t stretch, uint64_t ticks) {
  if (labels != 0) thread_name |= kHasLabels;
  std::atomic<Ref>& head = region_at<StackEntry>(stack)->buckets;
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    auto* bucket = region_at<CpuBucket>(ref);
    if (bucket->thread_name == thread_name && labels_of(*bucket) == labels) {
      add(bucket, stretch, ticks);
      return true;
    }
    ref = bucket->next;
  }
  const Ref ref = region_allocate(labels == 0 ? sizeof(CpuBucket) : sizeof(LabelledCpuBucket));
  if (ref == 0) return false;
  auto* bucket = region_at<CpuBucket>(ref);
  bucket->thread_name = thread_name;
  if (labels != 0) static_cast<LabelledCpuBucket*>(bucket)->labels = labels;
  add(bucket, stretch, ticks);
  do {
    bucket->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  return true;
}

}  // namespace prof
