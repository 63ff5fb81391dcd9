// What reading a region into a snapshot has in common. Normal code; of snapshot_from_region.cc and its like.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/record/label_sets.h"
#include "core/record/owner_record.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/unloaded_modules.h"
#include "core/report/profile_encoder.h"
#include "core/report/region_view.h"
#include "core/report/snapshot.h"

namespace prof {

// Times that a region may hold, ns: sums and differences of two are numbers too.
inline constexpr int64_t kMostTime = int64_t{1} << 61;
inline bool is_time(int64_t ns) { return ns >= 0 && ns <= kMostTime; }

// Numbers that the kernel gives to threads (PID_MAX_LIMIT): others of a region are spoiled, and sums of them might not be numbers.
inline constexpr int kMostTid = 1 << 22;
inline bool is_tid(int tid) { return tid > 0 && tid <= kMostTid; }

// How many entries of one kind may be met, in all chains together: no more than fit into the region. More are only met where chains
// are broken into a ring, or share what they have: a reader of such a region comes to an end all the same, and soon.
class ChainBudget {
 public:
  // Twice as many: a process that lives adds to its region while it is read.
  ChainBudget(const RegionView& region, uint64_t entry_bytes)
      : left_(2 * (uint64_t{region.header().segments.load()} << kSegmentShift) / entry_bytes) {}
  // False: there are no more. count: of entries.
  bool take(uint64_t count = 1) {
    if (left_ < count) return false;
    left_ -= count;
    return true;
  }

 private:
  uint64_t left_;
};

inline std::string thread_name(const RegionView& region, Ref ref) {
  const auto* entry = region.at<ThreadNameEntry>(ref);
  return entry == nullptr ? std::string() : std::string(entry->name, strnlen(entry->name, kThreadNameBytes));
}

inline constexpr uint32_t kMostPathBytes = 4096;  // of a file that is mapped

std::string build_id_text(const UnloadedModuleEntry& entry);
std::vector<UnloadedModule> unloaded_of(const RegionView& region);

// Null: the region is in no file.
inline const OwnerRecord* owner_of(const RegionView& region) { return region.root<OwnerRecord>(Root::owner); }

inline std::string owner_text(const RegionView& region, Ref ref) {
  constexpr uint32_t kMost = 4096;
  const auto* entry = region.at<OwnerText>(ref);
  if (entry == nullptr || entry->bytes > kMost || region.at(ref, sizeof(OwnerText) + entry->bytes) == nullptr)
    return {};
  return {entry->text, strnlen(entry->text, entry->bytes)};
}

// The stacks that some sample refers to, each once.
class Stacks {
 public:
  Stacks(const RegionView& region, Snapshot* snapshot)
      : region_(region), snapshot_(snapshot), frames_(region, sizeof(uint64_t)) {}

  // Index in the snapshot; negative: there is no such stack.
  int64_t index_of(Ref ref) {
    const auto [found, is_new] = indexes_.try_emplace(ref, -1);
    if (!is_new) return found->second;
    const auto* entry = region_.at<StackEntry>(ref);
    if (entry == nullptr || entry->count > kMaxStackFrames ||
        region_.at(ref, sizeof(StackEntry) + entry->count * sizeof(uint64_t)) == nullptr ||
        !frames_.take(entry->count)) {
      return -1;
    }
    found->second = static_cast<int64_t>(snapshot_->stacks.size());
    snapshot_->stacks.push_back({{entry->frames, entry->frames + entry->count}, entry->generation});
    return found->second;
  }

 private:
  const RegionView& region_;
  Snapshot* const snapshot_;
  ChainBudget frames_;
  std::unordered_map<Ref, int64_t> indexes_;
};

// The label sets that some sample has, each once.
class LabelSets {
 public:
  LabelSets(const RegionView& region, Snapshot* snapshot)
      : region_(region), table_(region.root<LabelTable>(Root::labels)), snapshot_(snapshot) {
    if (table_ != nullptr) add_pairs(table_->of_process.load(std::memory_order_acquire), &of_process_);
    index_of(0);
  }

  // Index in the snapshot.
  uint32_t index_of(LabelId id) {
    const auto [known, is_new] = by_id_.try_emplace(id, 0);
    if (!is_new) return known->second;
    // The thread's own are stronger than the process's.
    std::map<std::string, std::string> labels = of_process_;
    add_pairs(id, &labels);
    // Two threads that make the same set at once may have stored it twice.
    const auto [same, is_other] =
        by_content_.try_emplace(Labels(labels.begin(), labels.end()), static_cast<uint32_t>(by_content_.size()));
    if (is_other) snapshot_->label_sets.push_back(same->first);
    known->second = same->second;
    return known->second;
  }

 private:
  template <typename Entry>
  const Entry* entry(LabelId id, uint64_t bytes) const {
    // No entry crosses the end of a chunk, which is whole.
    const auto* found = label_entry<Entry>(
        *table_, id, [this](Ref chunk) { return static_cast<const char*>(region_.at(chunk, kLabelChunkBytes)); });
    return uint64_t{id} * 8 % kLabelChunkBytes + bytes > kLabelChunkBytes ? nullptr : found;
  }
  void add_pairs(LabelId id, std::map<std::string, std::string>* labels) {
    const auto* set = table_ == nullptr ? nullptr : entry<LabelSet>(id, sizeof(LabelSet));
    if (set == nullptr || set->count > kMaxLabels ||
        entry<LabelSet>(id, sizeof(LabelSet) + set->count * sizeof(LabelId)) == nullptr) {
      return;
    }
    for (uint32_t i = 0; i < set->count && pairs_left_ != 0; ++i, --pairs_left_) {
      const auto* pair = entry<LabelPair>(set->pairs[i], sizeof(LabelPair));
      if (pair == nullptr || pair->key_bytes > kMaxLabelKeyBytes || pair->value_bytes > kMaxLabelValueBytes ||
          entry<LabelPair>(set->pairs[i], sizeof(LabelPair) + pair->key_bytes + pair->value_bytes + 2) == nullptr) {
        continue;
      }
      const std::string_view value(pair->text + pair->key_bytes + 1, pair->value_bytes);
      labels->insert_or_assign(valid_utf8({pair->text, pair->key_bytes}), valid_utf8(value));
    }
  }

  const RegionView& region_;
  const LabelTable* const table_;
  Snapshot* const snapshot_;
  uint64_t pairs_left_ = kLabelChunks * kLabelChunkBytes / sizeof(LabelId);  // see ChainBudget
  std::map<std::string, std::string> of_process_;
  std::unordered_map<LabelId, uint32_t> by_id_;
  std::map<Labels, uint32_t> by_content_;
};

}  // namespace prof
