#include "core/report/symbol_index.h"

#include <algorithm>
#include <cstring>

namespace prof {
namespace {

constexpr uint64_t kSymbolsABucket = 16;

}  // namespace

void SymbolIndex::finish() {
  if (symbols_.empty()) return;
  const auto [low, high] = std::minmax_element(symbols_.begin(), symbols_.end(),
                                               [](const auto& a, const auto& b) { return a.start < b.start; });
  lowest_ = low->start;
  highest_ = high->start;
  const uint64_t wanted = symbols_.size() / kSymbolsABucket + 1;
  while ((highest_ - lowest_) >> shift_ >= wanted) ++shift_;
  buckets_.assign(((highest_ - lowest_) >> shift_) + 1, Bucket{});
  for (const FunctionSymbol& symbol : symbols_) ++bucket_of(symbol.start).first;
  uint32_t end = 0;
  for (Bucket& bucket : buckets_) {
    end += bucket.first;
    bucket.first = end;
  }
  // Each bucket is filled from its end down to its beginning.
  std::vector<FunctionSymbol> dealt(symbols_.size());
  for (const FunctionSymbol& symbol : symbols_) {
    Bucket& bucket = bucket_of(symbol.start);
    dealt[--bucket.first] = symbol;
    bucket.count = bucket.count + 1;
  }
  symbols_ = std::move(dealt);
}

void SymbolIndex::put_in_order(Bucket* bucket) {
  if (bucket->is_in_order != 0) return;
  FunctionSymbol* const begin = symbols_.data() + bucket->first;
  std::sort(begin, begin + bucket->count, [](const FunctionSymbol& a, const FunctionSymbol& b) {
    if (a.start != b.start) return a.start < b.start;
    if (a.rank != b.rank) return a.rank < b.rank;
    const size_t a_bytes = strlen(a.name);
    const size_t b_bytes = strlen(b.name);
    if (a_bytes != b_bytes) return a_bytes < b_bytes;
    return strcmp(a.name, b.name) < 0;
  });
  uint32_t kept = 0;
  for (uint32_t i = 0; i < bucket->count; ++i) {
    if (kept != 0 && begin[kept - 1].start == begin[i].start) {
      begin[kept - 1].bytes = std::max(begin[kept - 1].bytes, begin[i].bytes);
    } else {
      begin[kept++] = begin[i];
    }
  }
  bucket->count = kept;
  bucket->is_in_order = 1;
}

const FunctionSymbol* SymbolIndex::find(uint64_t address) {
  if (buckets_.empty() || address < lowest_) return nullptr;
  // A small function may lie within a larger one's range (assembler's inner labels): a few steps back find the outer one.
  constexpr int kMaxSteps = 8;
  int step = 0;
  for (auto at = static_cast<size_t>((std::min(address, highest_) - lowest_) >> shift_) + 1;
       at > 0 && step < kMaxSteps;) {
    Bucket& bucket = buckets_[--at];
    put_in_order(&bucket);
    const FunctionSymbol* const begin = symbols_.data() + bucket.first;
    const FunctionSymbol* above =
        std::upper_bound(begin, begin + bucket.count, address,
                         [](uint64_t wanted, const FunctionSymbol& symbol) { return wanted < symbol.start; });
    for (; above != begin && step < kMaxSteps; ++step) {
      --above;
      const bool is_last_label = above->bytes == 0 && step == 0;  // no size: up to the next symbol
      if (is_last_label || address - above->start < above->bytes) return above;
    }
  }
  return nullptr;
}

}  // namespace prof
