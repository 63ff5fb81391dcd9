#include "core/unwind/rule_cache.h"

#include <atomic>

namespace prof {
namespace {

// 8 K entries of 16 bytes in 4-way sets, 128 KB. Not more: the pages that a large table touches cost a program that runs for a few
// seconds more than working rules out again costs a large one (measured: 0.4 % of 1.2 s of sqlite3, at 512 KB).
constexpr unsigned kSetBits = 11;
constexpr unsigned kWays = 4;
constexpr unsigned kGenerationBits = 16;
constexpr uint64_t kBusy = 1;  // key of an entry that is being written; no key has address 0

struct Entry {
  std::atomic<uint64_t> key;  // address << 16 | generation
  std::atomic<uint64_t> rule;
};
struct alignas(64) Set {
  Entry ways[kWays];
};

Set g_sets[1 << kSetBits];
std::atomic<uint32_t> g_generation{0};

uint64_t key_of(uint64_t address, uint32_t generation) {
  return (address << kGenerationBits) | (generation & ((1u << kGenerationBits) - 1));
}

Set& set_of(uint64_t address) { return g_sets[(address * 0x9e37'79b9'7f4a'7c15) >> (64 - kSetBits)]; }

}  // namespace

uint32_t rule_cache_generation() { return g_generation.load(std::memory_order_acquire); }

UnwindRule rule_cache_find(uint64_t address, uint32_t generation) {
  const uint64_t key = key_of(address, generation);
  for (Entry& entry : set_of(address).ways) {
    if (entry.key.load(std::memory_order_acquire) != key) continue;
    const uint64_t rule = entry.rule.load(std::memory_order_relaxed);
    // The entry may have been taken over between the two loads.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (entry.key.load(std::memory_order_relaxed) == key) return UnwindRule(rule);
  }
  return UnwindRule();
}

void rule_cache_store(uint64_t address, uint32_t generation, UnwindRule rule) {
  const uint64_t key = key_of(address, generation);
  Set& set = set_of(address);
  // An empty or outdated way first, else one picked by the address.
  unsigned way = (address >> 4) % kWays;
  for (unsigned i = 0; i < kWays; ++i) {
    const uint64_t present = set.ways[i].key.load(std::memory_order_relaxed);
    if (present == key) return;
    if (present == 0 || (present & ((1u << kGenerationBits) - 1)) != (generation & ((1u << kGenerationBits) - 1)))
      way = i;
  }
  Entry& entry = set.ways[way];
  uint64_t present = entry.key.load(std::memory_order_relaxed);
  if (present == kBusy || !entry.key.compare_exchange_strong(present, kBusy, std::memory_order_acquire)) return;
  // Orders the taking of the entry before the new rule for a reader that sees the rule (its second load of the key).
  std::atomic_thread_fence(std::memory_order_release);
  entry.rule.store(rule.word(), std::memory_order_relaxed);
  entry.key.store(key, std::memory_order_release);
}

void rule_cache_forget() {
  const uint32_t generation = g_generation.fetch_add(1, std::memory_order_acq_rel) + 1;
  if ((generation & ((1u << kGenerationBits) - 1)) != 0) return;
  // The generation's bits begin again: what is left of the last round must not come back to life.
  for (Set& set : g_sets) {
    for (Entry& entry : set.ways) entry.key.store(0, std::memory_order_relaxed);
  }
}

}  // namespace prof
