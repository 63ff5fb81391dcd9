#include "core/record/label_sets.h"

#include <algorithm>
#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {
namespace {

LabelTable* table() { return region_root<LabelTable>(Root::labels); }

// Where each chunk lies in this process: a load less than by the region. Null: there is none, or not yet looked up.
std::atomic<const char*> g_chunks[kLabelChunks];

const char* look_up_chunk(unsigned index) {
  const Ref ref = table()->chunks[index].load(std::memory_order_acquire);
  if (ref == 0) return nullptr;
  const char* const chunk = region_at<const char>(ref);
  g_chunks[index].store(chunk, std::memory_order_release);
  return chunk;
}

template <typename Entry>
__attribute__((always_inline)) inline const Entry* entry_of(LabelId id) {
  const uint64_t offset = uint64_t{id} * 8;
  const auto index = static_cast<unsigned>(offset / kLabelChunkBytes);
  const char* chunk = g_chunks[index].load(std::memory_order_acquire);
  if (chunk == nullptr) [[unlikely]] {
    chunk = look_up_chunk(index);
    if (chunk == nullptr) return nullptr;
  }
  return reinterpret_cast<const Entry*>(chunk + offset % kLabelChunkBytes);
}

using Word __attribute__((may_alias)) = uint64_t;
struct __attribute__((packed, may_alias)) UnalignedWord {
  uint64_t value;
};

const char* key_of(const LabelPair& pair) { return pair.text; }
const char* value_of(const LabelPair& pair) { return pair.text + pair.key_bytes + 1; }

// What is past the text's end is its page's, and is not looked at: a sanitizer would see a read of what is not the text's.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] inline uint64_t aligned_word_at(uint64_t address) {
  return *reinterpret_cast<const Word*>(address);  // NOLINT(performance-no-int-to-ptr)
}

// Whether a text is this stored one of so many bytes. By words of the text's memory as they are aligned: no page is touched that it does
// not lie in. The stored one has kReadBeyond bytes behind it.
constexpr unsigned kReadBeyond = 8;
__attribute__((always_inline)) inline bool is_text(const char* text, const char* stored, unsigned stored_bytes) {
  for (unsigned left = stored_bytes + 1; left != 0;) {
    const auto address = reinterpret_cast<uint64_t>(text);
    const auto within = static_cast<unsigned>(address & 7);
    const unsigned bytes = std::min(8 - within, left);
    const uint64_t word = aligned_word_at(address - within) >> (8 * within);
    const uint64_t wanted = reinterpret_cast<const UnalignedWord*>(stored)->value;
    if (((word ^ wanted) << (64 - 8 * bytes)) != 0) return false;
    text += bytes;
    stored += bytes;
    left -= bytes;
  }
  return true;
}
__attribute__((always_inline)) inline bool has_key(const LabelPair& pair, const char* key) {
  return is_text(key, key_of(pair), pair.key_bytes);
}

bool is_same_text(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') return true;
  }
  return false;
}
int compare_text(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') return 0;
  }
  return static_cast<unsigned char>(*a) < static_cast<unsigned char>(*b) ? -1 : 1;
}
bool begins_with(const char* text, const char* begin) {
  for (; *begin != '\0'; ++text, ++begin) {
    if (*text != *begin) return false;
  }
  return true;
}
// Its length, at most `most`.
unsigned length_of(const char* text, unsigned most) {
  unsigned bytes = 0;
  while (bytes < most && text[bytes] != '\0') ++bytes;
  return bytes;
}

uint32_t mixed(uint32_t hash, uint64_t value) {
  const uint64_t product = (hash ^ value) * 0x9e37'79b9'7f4a'7c15;
  return static_cast<uint32_t>(product >> 32) ^ static_cast<uint32_t>(product);
}
uint32_t hash_of(const char* text, unsigned bytes, uint32_t hash) {
  for (unsigned i = 0; i < bytes; ++i) hash = mixed(hash, static_cast<unsigned char>(text[i]));
  return hash;
}

// Room for an entry. 0: there is none. No entry crosses a chunk's end.
LabelId allocate(unsigned bytes) {
  bytes = (bytes + 7) & ~7u;
  LabelTable* labels = table();
  uint32_t used = labels->used.load(std::memory_order_relaxed);
  uint32_t begin;
  do {
    begin = used;
    if (begin / kLabelChunkBytes != (begin + bytes - 1) / kLabelChunkBytes) {
      begin = (begin + kLabelChunkBytes - 1) / kLabelChunkBytes * kLabelChunkBytes;
    }
    if (begin + bytes > kLabelChunks * kLabelChunkBytes) return 0;
  } while (!labels->used.compare_exchange_weak(used, begin + bytes, std::memory_order_relaxed));
  std::atomic<Ref>& chunk = labels->chunks[begin / kLabelChunkBytes];
  if (chunk.load(std::memory_order_acquire) == 0) {
    const Ref fresh = region_allocate(kLabelChunkBytes);
    if (fresh == 0) return 0;
    Ref none = 0;
    // Where another thread was first, this one's is left unused.
    chunk.compare_exchange_strong(none, fresh, std::memory_order_acq_rel);
  }
  return begin / 8;
}

template <typename Entry>
void publish(std::atomic<LabelId>* head, LabelId id) {
  auto* entry = const_cast<Entry*>(entry_of<Entry>(id));
  LabelId first = head->load(std::memory_order_relaxed);
  do {
    entry->next = first;
  } while (!head->compare_exchange_weak(first, id, std::memory_order_release, std::memory_order_relaxed));
}

// Not through the middle of a character.
unsigned cut_length(const char* value) {
  unsigned bytes = kMaxLabelValueBytes;
  const auto goes_on = [&] { return (static_cast<unsigned char>(value[bytes]) & 0xc0) == 0x80; };
  for (int i = 0; i < 3 && goes_on(); ++i) --bytes;
  // No character has four bytes that go on: it was none.
  return goes_on() ? kMaxLabelValueBytes : bytes;
}

LabelId intern_pair(const char* key, const char* value) {
  const unsigned key_bytes = length_of(key, kMaxLabelKeyBytes);
  unsigned value_bytes = length_of(value, kMaxLabelValueBytes + 1);
  if (value_bytes > kMaxLabelValueBytes) {
    value_bytes = cut_length(value);
    count_loss(LossCause::label_cut);
  }
  const uint32_t hash = hash_of(value, value_bytes, hash_of(key, key_bytes, key_bytes));
  std::atomic<LabelId>& head = table()->pair_heads[hash % kLabelHeads];
  for (LabelId id = head.load(std::memory_order_acquire); id != 0;) {
    const auto* pair = entry_of<LabelPair>(id);
    if (pair == nullptr) return 0;
    if (pair->hash == hash && pair->key_bytes == key_bytes && pair->value_bytes == value_bytes &&
        memcmp(key_of(*pair), key, key_bytes) == 0 && memcmp(value_of(*pair), value, value_bytes) == 0) {
      return id;
    }
    id = pair->next;
  }
  const LabelId id = allocate(static_cast<unsigned>(sizeof(LabelPair)) + key_bytes + value_bytes + 2 + kReadBeyond);
  auto* pair = id == 0 ? nullptr : const_cast<LabelPair*>(entry_of<LabelPair>(id));
  if (pair == nullptr) return 0;
  pair->hash = hash;
  pair->key_bytes = static_cast<uint16_t>(key_bytes);
  pair->value_bytes = static_cast<uint16_t>(value_bytes);
  memcpy(pair->text, key, key_bytes);
  pair->text[key_bytes] = '\0';
  memcpy(pair->text + key_bytes + 1, value, value_bytes);
  pair->text[key_bytes + 1 + value_bytes] = '\0';
  publish<LabelPair>(&head, id);
  return id;
}

// The pairs of a set, to be changed and interned.
struct Pairs {
  unsigned count = 0;
  LabelId ids[kMaxLabels + 1];

  explicit Pairs(LabelId set) {
    const auto* entry = set == 0 ? nullptr : entry_of<LabelSet>(set);
    if (entry == nullptr) return;
    count = std::min(entry->count, kMaxLabels);
    std::copy_n(entry->pairs, count, ids);
  }
  const char* key(unsigned index) const {
    const auto* pair = entry_of<LabelPair>(ids[index]);
    return pair == nullptr ? "" : key_of(*pair);
  }
  // Of the first key that is not less.
  unsigned place_of(const char* wanted) const {
    unsigned place = 0;
    while (place < count && compare_text(key(place), wanted) < 0) ++place;
    return place;
  }
  bool has_at(unsigned place, const char* wanted) const { return place < count && is_same_text(key(place), wanted); }
  void remove(const char* wanted) {
    const unsigned place = place_of(wanted);
    if (!has_at(place, wanted)) return;
    std::copy(ids + place + 1, ids + count, ids + place);
    --count;
  }
  // False: there are too many.
  bool put(LabelId pair) {
    const auto* entry = entry_of<LabelPair>(pair);
    if (entry == nullptr) return false;
    const unsigned place = place_of(key_of(*entry));
    if (!has_at(place, key_of(*entry))) {
      if (count == kMaxLabels) return false;
      std::copy_backward(ids + place, ids + count, ids + count + 1);
      ++count;
    }
    ids[place] = pair;
    return true;
  }
};

// False: no room.
bool intern_set(const Pairs& pairs, LabelId* set) {
  *set = 0;
  if (pairs.count == 0) return true;
  uint32_t hash = pairs.count;
  for (unsigned i = 0; i < pairs.count; ++i) hash = mixed(hash, pairs.ids[i]);
  std::atomic<LabelId>& head = table()->set_heads[hash % kLabelHeads];
  for (LabelId id = head.load(std::memory_order_acquire); id != 0;) {
    const auto* entry = entry_of<LabelSet>(id);
    if (entry == nullptr) return false;
    if (entry->hash == hash && entry->count == pairs.count &&
        std::equal(pairs.ids, pairs.ids + pairs.count, entry->pairs)) {
      *set = id;
      return true;
    }
    id = entry->next;
  }
  const LabelId id = allocate(static_cast<unsigned>(sizeof(LabelSet) + pairs.count * sizeof(LabelId)));
  auto* entry = id == 0 ? nullptr : const_cast<LabelSet*>(entry_of<LabelSet>(id));
  if (entry == nullptr) return false;
  entry->hash = hash;
  entry->count = pairs.count;
  std::copy_n(pairs.ids, pairs.count, entry->pairs);
  publish<LabelSet>(&head, id);
  *set = id;
  return true;
}

// The memo: a word for each step from one set to another. The pair says what was put in or, of a removal, whose key was taken out.
//
//   63        62   56  51      34  33      17  16       0
//   ┌─────────┬──────┬───────────┬───────────┬──────────┐
//   │ removal │      │ from      │ pair      │ to       │      pair 0: there is nothing here
//   └─────────┴──────┴───────────┴───────────┴──────────┘
constexpr unsigned kMemoWords = 1024;
constexpr uint64_t kIdMask = (uint64_t{1} << kLabelIdBits) - 1;
std::atomic<uint64_t> g_memo[kMemoWords];

struct Step {
  LabelId from, pair, to;
  bool is_removal;
};
Step step_of(uint64_t word) {
  return {static_cast<LabelId>(word >> (2 * kLabelIdBits) & kIdMask),
          static_cast<LabelId>(word >> kLabelIdBits & kIdMask), static_cast<LabelId>(word & kIdMask), word >> 63 != 0};
}
void keep(std::atomic<uint64_t>* memo, const Step& step) {
  memo->store(uint64_t{step.is_removal} << 63 | uint64_t{step.from} << (2 * kLabelIdBits) |
                  uint64_t{step.pair} << kLabelIdBits | step.to,
              std::memory_order_release);
}
std::atomic<uint64_t>* memo_of(LabelId from, uint64_t a, uint64_t b) {
  const uint64_t hash = (a ^ (b << 17 | b >> 47) ^ uint64_t{from} << 40) * 0x9e37'79b9'7f4a'7c15;
  return &g_memo[hash >> 54];
}
std::atomic<uint64_t>* memo_of(LabelId from, const char* key, const char* value) {
  return memo_of(from, reinterpret_cast<uint64_t>(key), reinterpret_cast<uint64_t>(value));
}
static_assert(kMemoWords == 1 << 10);

LabelId without(LabelId set, const char* key) {
  Pairs pairs(set);
  pairs.remove(key);
  LabelId result;
  if (!intern_set(pairs, &result)) count_loss(LossCause::label_lost);
  return result;
}

// False: no room, and the set is the one without the key.
bool with(LabelId set, LabelId pair, LabelId* result) {
  Pairs pairs(set);
  if (pair != 0 && pairs.put(pair) && intern_set(pairs, result)) return true;
  count_loss(LossCause::label_lost);
  return false;
}

// Kept apart: what is known already needs no registers saved.
__attribute__((noinline)) LabelChange make_labels_with(LabelId set, const char* key, const char* value,
                                                       std::atomic<uint64_t>* memo) {
  if (const LabelKey kind = check_label_key(key); kind != LabelKey::good)
    return {set, kind == LabelKey::reserved ? LabelChange::kReservedKey : LabelChange::kBadKey};
  const LabelId pair = intern_pair(key, value);
  LabelId result = 0;
  if (!with(set, pair, &result)) return {without(set, key), 0};
  keep(memo, {set, pair, result, false});
  return {result, pair};
}

__attribute__((noinline)) LabelId make_labels_without(LabelId set, const char* key, std::atomic<uint64_t>* memo) {
  const LabelId pair = label_of_key(set, key);
  if (pair == 0) return set;
  const LabelId result = without(set, key);
  keep(memo, {set, pair, result, true});
  return result;
}

}  // namespace

LabelKey check_label_key(const char* key) {
  if (key[0] == '\0') return LabelKey::empty;
  if (length_of(key, kMaxLabelKeyBytes + 1) > kMaxLabelKeyBytes) return LabelKey::too_long;
  static constexpr const char* kOwn[] = {"thread", "tid", "state", "bytes", "start"};
  for (const char* own : kOwn) {
    if (is_same_text(key, own)) return LabelKey::reserved;
  }
  return begins_with(key, "pprof::") ? LabelKey::reserved : LabelKey::good;
}

bool labels_create() {
  const Ref ref = region_allocate(sizeof(LabelTable));
  if (ref == 0) return false;
  g_region->roots[static_cast<unsigned>(Root::labels)] = ref;
  region_at<LabelTable>(ref)->used.store(8, std::memory_order_relaxed);  // 0 is no entry
  for (auto& chunk : g_chunks) chunk.store(nullptr, std::memory_order_relaxed);
  return true;
}

void labels_copy(const RegionHeader& parent) {
  const auto at_parent = [&parent](Ref ref) {
    const uint64_t offset = uint64_t{ref} << kRefShift;
    return reinterpret_cast<const char*>(parent.segment_address[offset >> kSegmentShift].load() +
                                         (offset & (kSegmentBytes - 1)));
  };
  const auto* from = reinterpret_cast<const LabelTable*>(at_parent(parent.roots[static_cast<unsigned>(Root::labels)]));
  LabelTable* to = table();
  // The heads first and what they lead to afterwards: the parent goes on putting in entries.
  for (unsigned i = 0; i < kLabelHeads; ++i) {
    to->pair_heads[i].store(from->pair_heads[i].load(std::memory_order_acquire), std::memory_order_relaxed);
    to->set_heads[i].store(from->set_heads[i].load(std::memory_order_acquire), std::memory_order_relaxed);
  }
  to->of_process.store(from->of_process.load(std::memory_order_relaxed), std::memory_order_relaxed);
  const uint32_t used = from->used.load(std::memory_order_acquire);
  for (unsigned i = 0; i * kLabelChunkBytes < used && i < kLabelChunks; ++i) {
    Ref chunk = from->chunks[i].load(std::memory_order_acquire);
    // The parent's, of after the fork: nothing here has a label of it.
    if (!region_maps_forgotten(chunk)) chunk = 0;
    const Ref copy = chunk == 0 ? 0 : region_allocate(kLabelChunkBytes);
    if (copy != 0) memcpy(region_at<char>(copy), at_parent(chunk), kLabelChunkBytes);
    // One that is missing: what is in it has no text, and the ids of others must not come to mean something else.
    if (chunk != 0 && copy == 0) count_loss(LossCause::label_lost);
    to->chunks[i].store(copy, std::memory_order_release);
  }
  to->used.store(used, std::memory_order_release);
  // No list begins in what is not here.
  const auto forget_missing = [to](std::atomic<LabelId>* head) {
    const uint64_t offset = uint64_t{head->load(std::memory_order_relaxed)} * 8;
    if (to->chunks[offset / kLabelChunkBytes].load(std::memory_order_relaxed) == 0) {
      head->store(0, std::memory_order_relaxed);
    }
  };
  for (unsigned i = 0; i < kLabelHeads; ++i) {
    forget_missing(&to->pair_heads[i]);
    forget_missing(&to->set_heads[i]);
  }
}

LabelChange labels_with(LabelId set, const char* key, const char* value) {
  std::atomic<uint64_t>* const memo = memo_of(set, key, value);
  const Step known = step_of(memo->load(std::memory_order_acquire));
  if (known.from == set && known.pair != 0 && !known.is_removal) [[likely]] {
    const auto* pair = entry_of<LabelPair>(known.pair);
    if (pair != nullptr && has_key(*pair, key) && is_text(value, value_of(*pair), pair->value_bytes))
      return {known.to, known.pair};
  }
  return make_labels_with(set, key, value, memo);
}

LabelId labels_without(LabelId set, const char* key) {
  if (set == 0) return 0;
  std::atomic<uint64_t>* const memo = memo_of(set, key, nullptr);
  const Step known = step_of(memo->load(std::memory_order_acquire));
  if (known.from == set && known.pair != 0 && known.is_removal) [[likely]] {
    const auto* pair = entry_of<LabelPair>(known.pair);
    if (pair != nullptr && has_key(*pair, key)) return known.to;
  }
  return make_labels_without(set, key, memo);
}

LabelId label_of_key(LabelId set, const char* key) {
  const auto* entry = set == 0 ? nullptr : entry_of<LabelSet>(set);
  for (uint32_t i = 0; entry != nullptr && i < entry->count; ++i) {
    const auto* pair = entry_of<LabelPair>(entry->pairs[i]);
    if (pair != nullptr && has_key(*pair, key)) return entry->pairs[i];
  }
  return 0;
}

LabelId labels_restored(LabelId set, LabelId pair, LabelId former) {
  const LabelId subject = former != 0 ? former : pair;
  if (subject == 0) return set;
  const bool is_removal = former == 0;
  std::atomic<uint64_t>* const memo = memo_of(set, subject, is_removal ? 1 : 2);
  const Step known = step_of(memo->load(std::memory_order_acquire));
  if (known.from == set && known.pair == subject && known.is_removal == is_removal) return known.to;
  LabelId result = 0;
  if (!is_removal) {
    if (with(set, former, &result)) {
      keep(memo, {set, subject, result, false});
      return result;
    }
  }
  const auto* entry = entry_of<LabelPair>(subject);
  if (entry == nullptr) return 0;
  result = without(set, key_of(*entry));
  if (is_removal) keep(memo, {set, subject, result, true});
  return result;
}

}  // namespace prof
