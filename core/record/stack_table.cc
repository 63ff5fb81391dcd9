#include "core/record/stack_table.h"

#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {

constinit StackSeen g_stack_seen = nullptr;

namespace {

uint64_t hash_of(const uint64_t* frames, uint32_t count, uint32_t generation) {
  constexpr uint64_t kFactor = 0x9e37'79b9'7f4a'7c15;  // 2^64 / golden ratio: spreads neighbouring addresses
  uint64_t hash = (uint64_t{generation} << 32 | count) * kFactor;
  for (uint32_t i = 0; i < count; ++i) {
    hash = (hash ^ frames[i]) * kFactor;
    hash ^= hash >> 29;
  }
  return hash;
}

LossCause loss_of(StackEnd end) {
  switch (end) {
    case StackEnd::too_deep:
      return LossCause::stack_too_deep;
    case StackEnd::unreadable:
      return LossCause::stack_unreadable;
    case StackEnd::no_progress:
      return LossCause::stack_no_progress;
    case StackEnd::unknown_register:
      return LossCause::stack_unknown_register;
    case StackEnd::no_frame_pointer:
      return LossCause::stack_no_frame_pointer;
    default:
      return LossCause::stack_no_unwind_info;
  }
}

}  // namespace

uint32_t end_stack(uint64_t* frames, uint32_t count, StackEnd end) {
  if (end != StackEnd::complete) {
    count_loss(loss_of(end));
    frames[count++] = static_cast<uint64_t>(end);
  }
  if (count == 0) frames[count++] = static_cast<uint64_t>(StackEnd::lost);
  return count;
}

Ref intern_stack(const uint64_t* frames, uint32_t count, uint32_t generation) {
  const uint64_t hash = hash_of(frames, count, generation);
  std::atomic<Ref>& head = region_root<StackTable>(Root::stacks)->heads[hash % kStackHeads];
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    const auto* entry = region_at<StackEntry>(ref);
    if (entry->hash == hash && entry->count == count && entry->generation == generation &&
        memcmp(entry->frames, frames, count * sizeof(uint64_t)) == 0) {
      if (g_stack_seen != nullptr) g_stack_seen(frames, count, /*is_new=*/false);
      return ref;
    }
    ref = entry->next;
  }
  const Ref ref = region_allocate(sizeof(StackEntry) + count * sizeof(uint64_t));
  if (ref == 0) return 0;
  auto* entry = region_at<StackEntry>(ref);
  entry->generation = generation;
  entry->hash = hash;
  entry->count = count;
  memcpy(entry->frames, frames, count * sizeof(uint64_t));
  region_root<StackTable>(Root::stacks)->is_used.store(1, std::memory_order_release);
  do {
    entry->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  if (g_stack_seen != nullptr) g_stack_seen(frames, count, /*is_new=*/true);
  return ref;
}

}  // namespace prof
