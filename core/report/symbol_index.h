// A file's function symbols by address. Normal code, one thread.
//
// A file has tens of thousands, a profile asks for a few hundred: so they are dealt out to buckets of neighbouring addresses, and a
// bucket is put in order when it is first asked for (sorting all of them was a third of what a profile added to a short process).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace prof {

struct FunctionSymbol {
  uint64_t start;
  const char* name;
  uint32_t bytes;
  uint8_t rank;  // less is better
};

class SymbolIndex {
 public:
  void reserve(size_t more) { symbols_.reserve(symbols_.size() + more); }
  void add(const FunctionSymbol& symbol) { symbols_.push_back(symbol); }
  // All are added.
  void finish();

  // The function that contains an address; null: none does. Of several symbols for one place the one of the least rank, then of the
  // shortest name, with the largest size that any of them gives.
  const FunctionSymbol* find(uint64_t address);

 private:
  struct Bucket {
    uint32_t first;       // in symbols_
    uint32_t count : 31;  // once it is in order, of different places
    uint32_t is_in_order : 1;
  };
  Bucket& bucket_of(uint64_t address) { return buckets_[(address - lowest_) >> shift_]; }
  void put_in_order(Bucket* bucket);

  std::vector<FunctionSymbol> symbols_;
  std::vector<Bucket> buckets_;
  uint64_t lowest_ = 0;
  uint64_t highest_ = 0;
  unsigned shift_ = 0;
};

}  // namespace prof
