// Labels of threads, by which samples can be told apart: pairs of key and value, and sets of pairs, each stored once and never
// changed. A thread's present set is one word in its slot (thread_table.h), which signal handlers and other threads read.
// Signal-safe and lock-free where not said otherwise.
//
//   LabelTable  pair_heads[hash] ──▶ LabelPair ──▶ 0        "route\0/data\0"
//               set_heads[hash]  ──▶ LabelSet  ──▶ 0        its pairs, by key
//               chunks[64] of 16 KiB each: both lie in these
//
// What names one is its place in the chunks, and not a Ref, so that it stays the same in the region of a child of fork, which gets
// a copy of the chunks: labels, and the values that a scope is to restore, go on there.
//
// Setting a label finds the successor of the present set. A memo in the process's own memory remembers the last of each, by the
// addresses of the two texts, and is only believed where the texts are the same: a few nanoseconds.
//
// Bounded: a MiB in all. What does not fit is counted (LossCause::label_lost), and the set is then the one without that key: a sample
// may lack a label, but never has a wrong one.
#pragma once

#include "core/base/region.h"

namespace prof {

// A pair or a set: its offset in the chunks, in units of 8 bytes. 0: none, and the empty set.
using LabelId = uint32_t;
inline constexpr unsigned kLabelIdBits = 17;
inline constexpr unsigned kLabelChunkBytes = 1 << 14;
inline constexpr unsigned kLabelChunks = (8u << kLabelIdBits) / kLabelChunkBytes;
inline constexpr unsigned kLabelHeads = 512;

inline constexpr unsigned kMaxLabelKeyBytes = 64;
inline constexpr unsigned kMaxLabelValueBytes = 256;
inline constexpr unsigned kMaxLabels = 16;  // of a set

struct LabelPair {
  LabelId next;
  uint32_t hash;
  uint16_t key_bytes;
  uint16_t value_bytes;
  char text[];  // the key and the value, each with a final zero
};

struct LabelSet {
  LabelId next;
  uint32_t hash;
  uint32_t count;
  LabelId pairs[];  // by key
};

// Root::labels
struct LabelTable {
  std::atomic<uint32_t> used;       // bytes given out, or more where it is full
  std::atomic<LabelId> of_process;  // the set that every sample has
  std::atomic<Ref> chunks[kLabelChunks];
  std::atomic<LabelId> pair_heads[kLabelHeads];
  std::atomic<LabelId> set_heads[kLabelHeads];
};

// Where the entry of an id lies in a region; null: it has none. `at` answers the place of a chunk.
template <typename Entry, typename At>
const Entry* label_entry(const LabelTable& table, LabelId id, At at) {
  const uint64_t offset = uint64_t{id} * 8;
  if (id == 0 || offset >= uint64_t{kLabelChunks} * kLabelChunkBytes) return nullptr;
  const Ref chunk = table.chunks[offset / kLabelChunkBytes].load(std::memory_order_acquire);
  const char* start = chunk == 0 ? nullptr : at(chunk);
  return start == nullptr ? nullptr : reinterpret_cast<const Entry*>(start + offset % kLabelChunkBytes);
}

enum class LabelKey { good, empty, too_long, reserved };
// Whether this may be a label's key: at most kMaxLabelKeyBytes, and none that libprof or pprof sets itself.
LabelKey check_label_key(const char* key);

// The table, in a new region. Normal code.
bool labels_create();
// In a child of fork, whose region is new: the labels are those of the parent's, which is still mapped. Without room for them there are
// none. Normal code.
void labels_copy(const RegionHeader& parent);

struct LabelChange {  // two registers, each written whole
  uint64_t set;       // the new one
  uint64_t pair;      // that was put in; 0: it did not fit; or one of these two, and the set is what it was:
  static constexpr uint64_t kReservedKey = uint64_t{1} << 32;
  static constexpr uint64_t kBadKey = uint64_t{2} << 32;
};
// The set with a label more, or with another value of it. The value is cut after kMaxLabelValueBytes, at the end of
// a character (counted: LossCause::label_cut).
LabelChange labels_with(LabelId set, const char* key, const char* value);
// The set without the label of this key.
LabelId labels_without(LabelId set, const char* key);

// The pair of a key in a set; 0: there is none.
LabelId label_of_key(LabelId set, const char* key);
// The set with the pair `former` for the key that `pair` has (either may be 0): what a scope does at its end.
LabelId labels_restored(LabelId set, LabelId pair, LabelId former);

}  // namespace prof
