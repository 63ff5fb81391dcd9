#include "core/record/live_blocks.h"

namespace prof {

[[gnu::used]] std::atomic<uint8_t> g_live_filter[1 << kFilterBits];

namespace {

constexpr uint64_t kFree = 0;
constexpr uint64_t kBeingClaimed = 1;
constexpr uint8_t kForGood = 255;  // a class that was this full once is asked about for ever
constexpr uint64_t kSparseRate = 4096;

std::atomic<Ref>& head_of(const void* block) {
  const auto* table = region_root<LiveTable>(Root::live);
  const uint64_t hash = hash_of_block(block);
  const uint64_t part = (hash >> 8) & (table->parts - 1);
  return region_at<LiveHeads>(table->head_parts[part])->heads[hash >> (64 - kHeadPartBits)];
}

std::atomic<uint8_t>& filter_of(const void* block) { return g_live_filter[filter_class_of(block)]; }

void add_to_filter(const void* block) {
  std::atomic<uint8_t>& byte = filter_of(block);
  uint8_t count = byte.load(std::memory_order_relaxed);
  while (count != kForGood &&
         !byte.compare_exchange_weak(count, static_cast<uint8_t>(count + 1), std::memory_order_relaxed)) {
  }
}

void remove_from_filter(const void* block) {
  std::atomic<uint8_t>& byte = filter_of(block);
  uint8_t count = byte.load(std::memory_order_relaxed);
  while (count != kForGood && count != 0 &&
         !byte.compare_exchange_weak(count, static_cast<uint8_t>(count - 1), std::memory_order_relaxed)) {
  }
}

LiveBlock* find(const void* block) {
  // A free entry's address is null, which programs free too.
  if (reinterpret_cast<uint64_t>(block) <= kBeingClaimed) return nullptr;
  for (Ref ref = head_of(block).load(std::memory_order_acquire); ref != 0;) {
    auto* entry = region_at<LiveBlock>(ref);
    if (entry->address.load(std::memory_order_acquire) == reinterpret_cast<uint64_t>(block)) return entry;
    ref = entry->next;
  }
  return nullptr;
}

// A free entry of the block's chain, claimed; a new one where there is none. Null: no room.
LiveBlock* claim(const void* block) {
  std::atomic<Ref>& head = head_of(block);
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    auto* entry = region_at<LiveBlock>(ref);
    uint64_t expected = kFree;
    if (entry->address.load(std::memory_order_relaxed) == kFree &&
        entry->address.compare_exchange_strong(expected, kBeingClaimed, std::memory_order_acquire)) {
      return entry;
    }
    ref = entry->next;
  }
  const Ref ref = region_allocate(sizeof(LiveBlock));
  if (ref == 0) return nullptr;
  auto* entry = region_at<LiveBlock>(ref);
  entry->address.store(kBeingClaimed, std::memory_order_relaxed);
  do {
    entry->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  return entry;
}

}  // namespace

bool live_blocks_create(uint64_t rate) {
  const Ref ref = region_allocate(sizeof(LiveTable));
  if (ref == 0) return false;
  auto* table = region_at<LiveTable>(ref);
  table->parts = rate < kSparseRate ? kMaxHeadParts : 1;
  for (uint32_t i = 0; i < table->parts; ++i) {
    table->head_parts[i] = region_allocate(sizeof(LiveHeads));
    if (table->head_parts[i] == 0) return false;
  }
  g_region->roots[static_cast<unsigned>(Root::live)] = ref;
  return true;
}

bool put_live_block(const void* block, Ref bucket, int64_t born_ns, Ref* replaced) {
  *replaced = 0;
  if (LiveBlock* old = find(block); old != nullptr) {
    // Its free went past us (an allocator's own call, a library that binds elsewhere).
    *replaced = old->bucket;
    old->bucket = bucket;
    old->born_ns = born_ns;
    return true;
  }
  LiveBlock* entry = claim(block);
  if (entry == nullptr) return false;
  entry->bucket = bucket;
  entry->born_ns = born_ns;
  // Read by take_live_block's acquire in find().
  entry->address.store(reinterpret_cast<uint64_t>(block), std::memory_order_release);
  add_to_filter(block);
  return true;
}

TakenBlock take_live_block(const void* block) {
  LiveBlock* entry = find(block);
  if (entry == nullptr) return {};
  const TakenBlock taken = {entry->bucket, entry->born_ns};
  // A program that frees a block twice at once must not be counted twice.
  auto address = reinterpret_cast<uint64_t>(block);
  if (!entry->address.compare_exchange_strong(address, kFree, std::memory_order_release, std::memory_order_relaxed))
    return {};
  remove_from_filter(block);
  return taken;
}

void always_ask_about(const void* block) { filter_of(block).store(kForGood); }

void forget_live_blocks() {
  for (std::atomic<uint8_t>& byte : g_live_filter) {
    if (byte.load(std::memory_order_relaxed) != kForGood) byte.store(0, std::memory_order_relaxed);
  }
}

}  // namespace prof
