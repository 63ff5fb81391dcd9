#include "core/record/event_buckets.h"

namespace prof {

Ref find_event_bucket(EventKind kind, Ref stack, uint64_t detail, LabelId labels) {
  uint64_t hash = (uint64_t{stack} << 2 | static_cast<uint64_t>(kind)) * 0x9e37'79b9'7f4a'7c15;
  hash = (hash ^ (hash >> 29) ^ detail ^ uint64_t{labels} << 40) * 0xc2b2'ae3d'27d4'eb4f;
  std::atomic<Ref>& head = region_root<EventRecord>(Root::events)->heads[(hash >> 32) % kEventHeads];
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    const auto* bucket = region_at<EventBucket>(ref);
    if (bucket->stack == stack && bucket->kind == kind && bucket->detail == detail && bucket->labels == labels)
      return ref;
    ref = bucket->next;
  }
  const Ref ref = region_allocate(sizeof(EventBucket));
  if (ref == 0) return 0;
  auto* bucket = region_at<EventBucket>(ref);
  bucket->stack = stack;
  bucket->kind = kind;
  bucket->detail = detail;
  bucket->labels = labels;
  region_root<EventRecord>(Root::events)->is_used.store(1, std::memory_order_release);
  do {
    bucket->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  return ref;
}

void count_events(EventBucket* bucket, double events, uint64_t total) {
  // A locked instruction each, or a loop of them: not for nothing.
  if (total != 0) bucket->total.fetch_add(total, std::memory_order_relaxed);
  if (events != 0) bucket->events.fetch_add(events, std::memory_order_relaxed);
}

}  // namespace prof
