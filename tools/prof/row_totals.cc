#include "tools/prof/row_totals.h"

#include <unordered_map>

#include "tools/prof/scaled_value.h"

namespace prof::reader {
namespace {

struct Call {
  int64_t weight = 0;
  bool inlined = true;
  size_t last_sample = 0;  // counted from 1
};

class Adder {
 public:
  Adder(const FrameTable& frames, const std::vector<bool>& kept)
      : frames_(frames), kept_(kept), totals_(frames.rows.size()), last_sample_(frames.rows.size()) {}

  void add(const Sample& sample, int64_t value) {
    ++sample_;
    uint32_t caller = kNone;
    bool leaf_shown = true;
    for (size_t at = sample.locations.size(); at-- > 0;) {
      const std::vector<uint32_t>& rows = frames_.rows_of_location[sample.locations[at]];
      for (size_t i = rows.size(); i-- > 0;) {
        const uint32_t row = rows[i];
        leaf_shown = kept_.empty() || kept_[row];
        if (!leaf_shown) continue;
        if (last_sample_[row] != sample_) totals_[row].cum = wrapping_add(totals_[row].cum, value);
        last_sample_[row] = sample_;
        if (caller != kNone && caller != row) add_call(caller, row, value, i + 1 != rows.size());
        caller = row;
      }
    }
    if (caller != kNone && leaf_shown) totals_[caller].flat = wrapping_add(totals_[caller].flat, value);
  }

  std::vector<RowTotal> finish(int64_t edge_cutoff) {
    for (const auto& [pair, call] : calls_) {
      if (magnitude(call.weight) < edge_cutoff) continue;
      RowTotal& callee = totals_[static_cast<uint32_t>(pair)];
      (call.inlined ? callee.called_inline : callee.called_outright) = true;
    }
    return std::move(totals_);
  }

 private:
  void add_call(uint32_t caller, uint32_t callee, int64_t value, bool inlined) {
    Call& call = calls_[uint64_t{caller} << 32 | callee];
    if (call.last_sample == sample_) return;
    call.last_sample = sample_;
    call.weight = wrapping_add(call.weight, value);
    call.inlined = call.inlined && inlined;
  }

  const FrameTable& frames_;
  const std::vector<bool>& kept_;
  std::vector<RowTotal> totals_;
  std::vector<size_t> last_sample_;
  std::unordered_map<uint64_t, Call> calls_;  // caller in the upper half, callee in the lower
  size_t sample_ = 0;
};

}  // namespace

std::vector<RowTotal> row_totals(const Profile& profile, const FrameTable& frames, size_t value_index,
                                 const std::vector<bool>& kept, int64_t edge_cutoff) {
  Adder adder(frames, kept);
  for (const Sample& sample : profile.samples) {
    if (sample.values[value_index] != 0) adder.add(sample, sample.values[value_index]);
  }
  return adder.finish(edge_cutoff);
}

}  // namespace prof::reader
