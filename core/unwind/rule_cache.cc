#include "core/unwind/rule_cache.h"

#include <algorithm>
#include <atomic>

#include "core/unwind/machine.h"

namespace prof {
namespace {

// 2 K lines in sets of two, 128 KB. Not more: the pages that a large table touches cost a program that runs for a few
// seconds more than working rules out again costs a large one (measured: 0.4 % of 1.2 s of sqlite3, at 512 KB).
constexpr unsigned kSetBits = 10;
constexpr unsigned kWays = 2;
constexpr unsigned kBlockBits = 8;
constexpr unsigned kRanges = 5;
constexpr uint64_t kAddresses = uint64_t{1} << kAddressBits;  // above there is no code of a process

//   63                    25 24         9 8         1   0
//   ┌───────────────────────┬────────────┬───────────┬──────┐
//   │ block (address >> 8)  │ generation │ changes   │ busy │   a line's key; 0: empty
//   └───────────────────────┴────────────┴───────────┴──────┘
// changes: counts them, so that a reader sees that the line was changed under it. One that is off the processor meanwhile may miss just
// 256 of them: the bytes of `first` that are not used count on.
// Of x86-64: where addresses have a bit more, the generation has one less.
constexpr uint64_t kBusy = 1;
constexpr uint64_t kOneChange = 2;
constexpr unsigned kGenerationShift = 9;
constexpr unsigned kBlockShift = 64 - (kAddressBits - kBlockBits);
constexpr unsigned kGenerationBits = kBlockShift - kGenerationShift;
constexpr uint64_t kChangesMask = 0x1fe;
constexpr uint64_t kGenerationMask = ((uint64_t{1} << kGenerationBits) - 1) << kGenerationShift;

// first[i] and last[i]: the range of rules[i], as offsets in the block; an unused one ends before it begins.
constexpr unsigned kCountShift = 8 * kRanges;
constexpr uint64_t kNoFirst = (uint64_t{1} << kCountShift) - 1;
constexpr uint64_t kNoLast = 0;
struct alignas(64) Line {
  std::atomic<uint64_t> key;
  std::atomic<uint64_t> first;  // kRanges bytes; above them the count of changes
  std::atomic<uint64_t> last;   // kRanges bytes
  std::atomic<uint64_t> rules[kRanges];
};
struct Set {
  Line ways[kWays];
};

Set g_sets[1 << kSetBits];
std::atomic<uint32_t> g_generation{0};

uint64_t key_of(uint64_t address, uint32_t generation) {
  return (address >> kBlockBits << kBlockShift) | (uint64_t{generation} << kGenerationShift & kGenerationMask);
}

Set& set_of(uint64_t address) { return g_sets[((address >> kBlockBits) * 0x9e37'79b9'7f4a'7c15) >> (64 - kSetBits)]; }

uint64_t with_byte(uint64_t word, unsigned index, uint8_t byte) {
  return (word & ~(uint64_t{0xff} << (8 * index))) | uint64_t{byte} << (8 * index);
}
uint8_t byte_of(uint64_t word, unsigned index) { return static_cast<uint8_t>(word >> (8 * index)); }

unsigned unused_range(uint64_t first, uint64_t last, unsigned otherwise) {
  for (unsigned i = 0; i < kRanges; ++i) {
    if (byte_of(first, i) > byte_of(last, i)) return i;
  }
  return otherwise;
}

}  // namespace

uint32_t rule_cache_generation() { return g_generation.load(std::memory_order_acquire); }

UnwindRule rule_cache_find(uint64_t address, uint32_t generation) {
  const uint64_t wanted = key_of(address, generation);
  for (Line& line : set_of(address).ways) {
    const uint64_t key = line.key.load(std::memory_order_acquire);
    if ((key & ~kChangesMask) != wanted) continue;
    const uint64_t first = line.first.load(std::memory_order_relaxed);
    const uint64_t last = line.last.load(std::memory_order_relaxed);
    const auto offset = static_cast<uint8_t>(address);
    unsigned range = 0;
    // Branches: predicted ones let the walk go on before the line is there (with vector compares a frame took twice as long).
    while (range < kRanges && (offset < byte_of(first, range) || offset > byte_of(last, range))) ++range;
    if (range == kRanges) break;
    const uint64_t rule = line.rules[range].load(std::memory_order_relaxed);
    // The line may have been changed between the loads.
    std::atomic_thread_fence(std::memory_order_acquire);
    const bool is_same =
        line.key.load(std::memory_order_relaxed) == key && line.first.load(std::memory_order_relaxed) == first;
    return is_same && address < kAddresses ? UnwindRule(rule) : UnwindRule();
  }
  return UnwindRule();
}

void rule_cache_store(uint64_t address, uint64_t start, uint64_t end, uint32_t generation, UnwindRule rule) {
  if (address >= kAddresses || address >> kBlockBits == 0) return;
  const uint64_t block = address >> kBlockBits << kBlockBits;
  const auto first = static_cast<uint8_t>(std::max(start, block) - block);
  const auto last = static_cast<uint8_t>(std::min(end - 1, block + 255) - block);
  const uint64_t wanted = key_of(address, generation);
  Set& set = set_of(address);
  // The block's own line, else an empty or outdated one, else one picked by the address.
  Line* line = &set.ways[(address >> 12) % kWays];
  for (Line& way : set.ways) {
    const uint64_t key = way.key.load(std::memory_order_relaxed);
    if (key == 0 || (key & kGenerationMask) != (wanted & kGenerationMask)) line = &way;
    if ((key & ~(kChangesMask | kBusy)) == wanted) {
      line = &way;
      break;
    }
  }
  uint64_t key = line->key.load(std::memory_order_relaxed);
  if ((key & kBusy) != 0 || !line->key.compare_exchange_strong(key, key | kBusy, std::memory_order_acquire)) return;
  // Orders the taking of the line before its new contents for a reader that sees them (its second load of the key).
  std::atomic_thread_fence(std::memory_order_release);
  const bool is_same = (key & ~kChangesMask) == wanted;
  const uint64_t present = line->first.load(std::memory_order_relaxed);
  const uint64_t count = ((present >> kCountShift) + 1) << kCountShift;
  const uint64_t firsts = is_same ? present & kNoFirst : kNoFirst;
  const uint64_t lasts = is_same ? line->last.load(std::memory_order_relaxed) : kNoLast;
  const unsigned range = unused_range(firsts, lasts, static_cast<unsigned>(address % kRanges));
  line->rules[range].store(rule.word(), std::memory_order_relaxed);
  line->first.store(with_byte(firsts, range, first) | count, std::memory_order_relaxed);
  line->last.store(with_byte(lasts, range, last), std::memory_order_relaxed);
  line->key.store(wanted | ((key + kOneChange) & kChangesMask), std::memory_order_release);
}

void rule_cache_forget() {
  const uint32_t generation = g_generation.fetch_add(1, std::memory_order_acq_rel) + 1;
  if ((generation & ((1u << kGenerationBits) - 1)) != 0) return;
  // The generation's bits begin again: what is left of the last round must not come back to life.
  for (Set& set : g_sets) {
    for (Line& line : set.ways) line.key.store(0, std::memory_order_relaxed);
  }
}

}  // namespace prof
