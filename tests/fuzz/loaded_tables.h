// The loaded libraries with their unwind tables, as what is fuzzed is made from.
#pragma once

#include <cstdint>
#include <vector>

#include "core/unwind/code_lookup.h"

namespace prof::fuzz {

struct LoadedTables {
  CodeObject object;
  std::vector<unsigned char> image;  // of the object, holes between its segments as zeros
  uint64_t functions = 0;            // entries in its sorted table

  // Of a function by its number: offsets in the image. Both lie in it.
  uint64_t code_of(uint64_t function) const;
  uint64_t entry_of(uint64_t function) const;
};

// Those whose tables are as linkers write them.
const std::vector<LoadedTables>& loaded_tables();

}  // namespace prof::fuzz
