// Real objects with some bytes changed, or cut off, in a buffer of just their size: the address sanitizer sees each byte read
// beyond. Where nothing was changed, what is kept of a rule in the cache must be what its neighbours are told.
#include <algorithm>
#include <cstring>
#include <memory>

#include "core/unwind/rule_cache.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/loaded_tables.h"

namespace prof::fuzz {
namespace {

class Copy {
 public:
  Copy(const LoadedTables& from, uint64_t bytes) : bytes_(bytes), data_(new unsigned char[bytes]) {
    memcpy(data_.get(), from.image.data(), bytes);
    const auto start = reinterpret_cast<uint64_t>(data_.get());
    object_ = {start, start + bytes, start + (from.object.eh_frame_hdr - from.object.start)};
  }
  const CodeObject& object() const { return object_; }

  void put(uint64_t at, uint64_t value, uint64_t width) {
    if (at < bytes_ && width <= bytes_ - at) memcpy(data_.get() + at, &value, width);
  }

 private:
  const uint64_t bytes_;
  const std::unique_ptr<unsigned char[]> data_;
  CodeObject object_;
};

// In the header, the table, the entry or its CIE: where a wrong byte changes what is found for the function.
void spoil(Random* random, const LoadedTables& from, uint64_t function, Copy* copy) {
  constexpr uint64_t kWidths[] = {1, 1, 1, 2, 4, 8};
  const uint64_t header = from.object.eh_frame_hdr - from.object.start;
  const uint64_t entry = from.entry_of(function);
  uint32_t cie_distance = 0;
  if (entry + 8 <= from.image.size()) memcpy(&cie_distance, &from.image[entry + 4], sizeof(cie_distance));
  const uint64_t cie = entry + 4 - cie_distance;
  uint64_t at = 0;
  switch (random->below(8)) {
    case 0:
      at = header + random->below(12);
      break;
    case 1:
      at = header + 12 + 8 * function + random->below(8);
      break;
    case 2:
      at = entry + 4 * random->below(2);
      break;
    case 3:
    case 4:
      at = entry + random->below(64);
      break;
    case 5:
      at = cie;
      break;
    default:
      at = cie + random->below(32);
  }
  copy->put(at, random->odd_number(), random->one_of(kWidths));
}

// As capture() does it: ranges are stored as they are found, and must hold for all that finds them.
void check_cache(Random* random, const CodeObject& object, uint64_t near) {
  const uint32_t generation = rule_cache_generation();
  for (int i = 0; i < 8; ++i) {
    const uint64_t lookup = near + random->below(600);
    const RuleOfRange found = checked_rule(object, random->one_in(2) ? lookup : lookup + 1, lookup);
    const bool is_range = found.start < found.end;
    rule_cache_store(lookup, is_range ? found.start : lookup, is_range ? found.end : lookup + 1, generation,
                     found.rule);
  }
  for (uint64_t lookup = near; lookup < near + 600; ++lookup) {
    const uint64_t known = rule_cache_find(lookup, generation).word();
    if (known == 0 || known == checked_rule(object, lookup, lookup).rule.word() ||
        known == checked_rule(object, lookup + 1, lookup).rule.word()) {
      continue;
    }
    fail("lookup +%#lx is known by another rule: %#lx", lookup - object.start, known);
  }
}

}  // namespace

void tables_round(Random* random) {
  const auto& all = loaded_tables();
  const LoadedTables& from = all[random->below(all.size())];
  const bool is_cut = random->one_in(4);
  const uint64_t bytes = is_cut ? random->below(from.image.size()) + 1 : from.image.size();
  const Copy whole(from, bytes);
  Copy copy(from, bytes);
  for (int i = 0; i < 30; ++i) {
    const uint64_t function = random->below(from.functions);
    if (!is_cut && random->one_in(8))
      check_cache(random, whole.object(), whole.object().start + from.code_of(function));
    for (uint64_t k = random->below(4); k > 0; --k) spoil(random, from, function, &copy);
    for (int k = 0; k < 8; ++k) {
      uint64_t lookup = copy.object().start + from.code_of(function) + random->below(256) - 4;
      if (random->one_in(16)) lookup = random->odd_number();
      checked_rule(copy.object(), random->one_in(2) ? lookup : lookup + 1, lookup);
    }
  }
  rule_cache_forget();
}

}  // namespace prof::fuzz
