// The rule cache in several threads that store, find and forget at once. A rule follows from the address and the generation that it
// is stored under, so whoever finds one can tell whether it is the right one.
#include <atomic>
#include <thread>
#include <vector>

#include "core/unwind/rule_cache.h"
#include "tests/fuzz/fuzz.h"

namespace prof::fuzz {
namespace {

constexpr unsigned kThreads = 4;
constexpr unsigned kTurns = 20'000;
constexpr uint64_t kCode = 0x7f12'3450'0000;

uint64_t mixed(uint64_t a, uint64_t b) { return Random(a * 0x1'0000'0001 ^ b).next(); }

struct Range {
  uint64_t start;
  uint64_t end;
};

// All code is divided into ranges, in each generation into others: sixteenths of 512 bytes begin one or not.
Range range_of(uint64_t address, uint32_t generation) {
  constexpr uint64_t kPiece = 32;
  const auto begins = [&](uint64_t piece) { return piece % 16 == 0 || mixed(piece, generation) % 4 == 0; };
  uint64_t first = address / kPiece;
  uint64_t last = first + 1;
  while (!begins(first)) --first;
  while (!begins(last)) ++last;
  return {first * kPiece, last * kPiece};
}

UnwindRule rule_of(const Range& range, uint32_t generation) {
  const uint64_t value = mixed(range.start, generation);
  return UnwindRule::make(RuleKind::cfa_deref_sp, static_cast<int64_t>(value & 0xff'ffff),
                          static_cast<int16_t>(value >> 24), BpRule::at_cfa, static_cast<int16_t>(value >> 40));
}

void use_cache(uint64_t seed, uint64_t blocks, uint64_t forgets_in, std::atomic<uint64_t>* found) {
  Random random(seed);
  uint64_t found_here = 0;
  for (unsigned i = 0; i < kTurns; ++i) {
    const uint32_t generation = rule_cache_generation();
    const uint64_t address = kCode + random.below(blocks * 256);
    const Range range = range_of(address, generation);
    const UnwindRule right = rule_of(range, generation);
    const UnwindRule rule = rule_cache_find(address, generation);
    if (rule.kind() == RuleKind::none) {
      rule_cache_store(address, range.start, range.end, generation, right);
    } else {
      ++found_here;
      if (rule.word() != right.word()) {
        fail("%#lx in generation %u is known by %#lx, not by %#lx", address, generation, rule.word(), right.word());
      }
    }
    if (random.one_in(forgets_in)) rule_cache_forget();
  }
  *found += found_here;
}

}  // namespace

void cache_round(Random* random) {
  // Few blocks: many find what others are storing. Many: lines are taken from each other.
  const uint64_t blocks = random->one_of({1u, 16u, 1000u, 10'000u});
  const uint64_t forgets_in = random->one_of({100u, 1000u, 100'000u});
  std::atomic<uint64_t> found{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back(use_cache, random->next(), blocks, forgets_in, &found);
  }
  for (std::thread& thread : threads) thread.join();
  if (blocks <= 16 && found == 0) fail("nothing that was stored is found");
  rule_cache_forget();
}

}  // namespace prof::fuzz
