// What the parts of the fuzz target of core/unwind share. A round is one call of a part with a Random of its own, so that it can be
// repeated alone: it depends on the seed, the round's number and the loaded libraries only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/unwind/code_bytes.h"
#include "core/unwind/rule_from_tables.h"

namespace prof::fuzz {

// SplitMix64: a seed is one number, and neighbouring seeds have nothing in common.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e37'79b9'7f4a'7c15;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
  }
  // In [0, end). end: not 0.
  uint64_t below(uint64_t end) { return next() % end; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <typename T, size_t kCount>
  T one_of(const T (&values)[kCount]) {
    return values[below(kCount)];
  }
  // A number that is an edge case more often than not.
  uint64_t odd_number();

 private:
  uint64_t state_;
};

// Says what is wrong, and ends the program as a sanitizer's finding does.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

// The rule of one address, by direct reads and by the kernel's copying, which must be the same; and a range that has the address.
RuleOfRange checked_rule(const CodeObject& object, uint64_t pc, uint64_t lookup);

void tables_round(Random* random);    // real tables with wrong bytes
void programs_round(Random* random);  // call frame programs and expressions that no compiler wrote
void stacks_round(Random* random);    // stacks and registers, walked with and without the memo of walks
void cache_round(Random* random);     // the rule cache in several threads

}  // namespace prof::fuzz
