#include "core/record/thread_table.h"

namespace prof {
namespace {

constexpr uint64_t kRefMask = 0xffff'ffff;

// A signal's value: tag << 48 | the slot's use << 32 | its reference. No pointer and no small number of the program's has such a tag.
constexpr uint64_t kTag = 0x5f50;
constexpr unsigned kTagShift = 48;
constexpr unsigned kUseShift = 32;
constexpr uint64_t kUseMask = 0xffff;

Ref ref_of(const ThreadSlot& slot) {
  // A slot knows its segment only by its address; segments are few, and the search is rare (a thread's start).
  const auto address = reinterpret_cast<uint64_t>(&slot);
  const uint32_t segments = g_region->segments.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < segments; ++i) {
    const uint64_t offset = address - g_region->segment_address[i].load(std::memory_order_relaxed);
    if (offset < kSegmentBytes) return static_cast<Ref>(((uint64_t{i} << kSegmentShift) + offset) >> kRefShift);
  }
  return 0;
}

}  // namespace

ThreadSlot* take_thread_slot() {
  auto* table = region_root<ThreadTable>(Root::threads);
  ThreadSlot* slot = nullptr;
  uint64_t free = table->free.load(std::memory_order_acquire);
  while ((free & kRefMask) != 0) {
    auto* candidate = region_at<ThreadSlot>(static_cast<Ref>(free & kRefMask));
    const uint64_t popped = ((free >> 32) + 1) << 32 | candidate->next_free.load(std::memory_order_relaxed);
    if (table->free.compare_exchange_weak(free, popped, std::memory_order_acquire)) {
      slot = candidate;
      break;
    }
  }
  if (slot == nullptr) {
    const Ref ref = region_allocate(sizeof(ThreadSlot));
    if (ref == 0) return nullptr;
    slot = region_at<ThreadSlot>(ref);
    slot->timer = -1;
    slot->perf_fd = -1;
    Ref first = table->all.load(std::memory_order_relaxed);
    do {
      slot->next = first;
    } while (!table->all.compare_exchange_weak(first, ref, std::memory_order_release));
  }
  slot->exit_rounds = 0;
  slot->registered.store(0, std::memory_order_relaxed);
  slot->ticks_given.store(0, std::memory_order_relaxed);
  forget_left_ticks(&slot->left);
  slot->name = 0;
  slot->waits.store(0, std::memory_order_relaxed);
  slot->created_by = 0;
  slot->labels.store(0, std::memory_order_relaxed);
  slot->inherits.store(0, std::memory_order_relaxed);
  slot->trace.store(0, std::memory_order_relaxed);
  slot->made_by_unblocked = 0;
  slot->last_hold_ns = 0;
  slot->held.store(0, std::memory_order_relaxed);
  slot->held_from_ns.store(kNotHeld, std::memory_order_relaxed);
  slot->ring_wait = {};
  slot->uses_rings.store(0, std::memory_order_relaxed);
  slot->ring_stack.store(0, std::memory_order_relaxed);
  slot->ring_ticks.store(0, std::memory_order_relaxed);
  slot->last_ring_call_ns = 0;
  slot->stack_low = slot->stack_high = 0;
  return slot;
}

ThreadSlot* adopt_thread(int tid) {
  ThreadSlot* slot = take_thread_slot();
  if (slot == nullptr) return nullptr;
  auto* table = region_root<ThreadTable>(Root::threads);
  table->adopted.fetch_add(1, std::memory_order_seq_cst);
  slot->tid.store(tid, std::memory_order_seq_cst);
  // The thread has registered just now, or somebody else has adopted it: of two slots, each of which would have a clock, one stays.
  ThreadSlot* other = nullptr;
  for_each_thread_slot([&](ThreadSlot* found) {
    if (found != slot && found->tid.load(std::memory_order_seq_cst) == tid && (found->registered != 0 || found < slot))
      other = found;
  });
  if (other == nullptr) return slot;
  int expected = tid;
  if (slot->tid.compare_exchange_strong(expected, 0)) {
    table->adopted.fetch_sub(1, std::memory_order_relaxed);
    give_back_thread_slot(slot);
  }
  return other;
}

void give_back_thread_slot(ThreadSlot* slot) {
  slot->tid.store(0, std::memory_order_relaxed);
  slot->sequence.fetch_add(1, std::memory_order_release);
  auto* table = region_root<ThreadTable>(Root::threads);
  const Ref ref = ref_of(*slot);
  uint64_t free = table->free.load(std::memory_order_relaxed);
  uint64_t pushed;
  do {
    slot->next_free.store(static_cast<Ref>(free & kRefMask), std::memory_order_relaxed);
    pushed = (free & ~kRefMask) | ref;
  } while (!table->free.compare_exchange_weak(free, pushed, std::memory_order_release));
}

uint64_t signal_value_of(const ThreadSlot& slot) {
  const uint64_t use = slot.sequence.load(std::memory_order_relaxed) & kUseMask;
  return kTag << kTagShift | use << kUseShift | ref_of(slot);
}

bool is_signal_value(uint64_t value) { return value >> kTagShift == kTag; }

ThreadSlot* slot_of_signal_value(uint64_t value) {
  const auto wanted = static_cast<Ref>(value & kRefMask);
  // Compared with what exists, not followed: the host's own timers carry values of their own.
  if (!is_signal_value(value) || wanted == 0 ||
      (uint64_t{wanted} << kRefShift) + sizeof(ThreadSlot) > g_region->used.load(std::memory_order_acquire)) {
    return nullptr;
  }
  auto* slot = region_at<ThreadSlot>(wanted);
  return ((slot->sequence.load(std::memory_order_acquire) ^ value >> kUseShift) & kUseMask) == 0 ? slot : nullptr;
}

}  // namespace prof
