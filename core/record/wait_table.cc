#include "core/record/wait_table.h"

#include <algorithm>

namespace prof {

std::atomic<uint32_t> g_wait_filter[kWaitFilters];

namespace {

constexpr unsigned kSumBits = 48;
constexpr uint64_t kSumMask = (uint64_t{1} << kSumBits) - 1;
constexpr uint64_t kMostWaiters = (uint64_t{1} << 16) - 2;
constexpr uint64_t kTaken = ~uint64_t{0};  // high, while an entry's owner changes

uint64_t waiters_of(Words state) { return state.high >> kSumBits; }
uint64_t sum_of(Words state) { return state.high & kSumMask; }
// Of a lock: the same as a signed number.
int64_t clock_sum_of(Words state) {
  constexpr unsigned kUnused = 64 - kSumBits;
  return static_cast<int64_t>(state.high << kUnused) >> kUnused;
}
constexpr int64_t kMostSum = static_cast<int64_t>(kSumMask >> 1);
// Kept small rather than running into the waiters.
uint64_t packed(int64_t clock_sum) {
  return static_cast<uint64_t>(std::clamp(clock_sum, -kMostSum, kMostSum)) & kSumMask;
}
// In the answer of wait_begins: of one that the filter does not know.
constexpr uint32_t kShowsItself = 1u << 31;
// Of a condition.
constexpr unsigned kSignalledBits = 16;
uint32_t signalled_of(Words state) { return static_cast<uint32_t>(sum_of(state) & 0xffff); }
uint32_t mutex_entry_of(Words state) { return static_cast<uint32_t>(sum_of(state) >> kSignalledBits); }
Words make(uint64_t low, uint64_t waiters, uint64_t sum) { return {low, waiters << kSumBits | sum}; }

WaitTable* table() { return region_root<WaitTable>(Root::waits); }

WaitEntry* first_entry_of(const void* object) {
  const auto address = reinterpret_cast<uint64_t>(object);
  return &table()->entries[((address >> 3) * 0x9e37'79b9'7f4a'7c15 >> 32) % kWaitEntries];
}

uint64_t address_of(const void* object) { return reinterpret_cast<uint64_t>(object); }

// Changes an entry of `object` while it is that one's: to(state) answers the new state, or the same one for none. False: the
// entry is another's.
template <typename Change>
bool change(WaitEntry* entry, const void* object, Change to) {
  Words state = entry->state.load();
  for (;;) {
    if (state.high == kTaken || entry->object.load(std::memory_order_acquire) != address_of(object)) return false;
    const Words next = to(state);
    if (next.low == state.low && next.high == state.high) return true;
    if (entry->state.replace(&state, next)) return true;
  }
}

// The entry that stands for an object now, or none.
WaitEntry* find(const void* object) {
  WaitEntry* entry = first_entry_of(object);
  for (unsigned i = 0; i < kWaitProbes; ++i, ++entry) {
    if (entry->object.load(std::memory_order_acquire) == address_of(object)) return entry;
  }
  return nullptr;
}

// More waiters, in an entry that is the object's already.
bool join(WaitEntry* entry, const void* object, const void* mutex, int64_t now, uint32_t count) {
  bool joined = false;
  const bool own = change(entry, object, [&](Words state) {
    joined = false;
    const uint64_t waiters = waiters_of(state);
    if (entry->mutex.load(std::memory_order_relaxed) != address_of(mutex)) return state;
    const auto time = static_cast<uint64_t>(now);
    if (waiters == 0) {
      joined = true;
      // Later than before in any case: what was begun with the state of an earlier wait fails.
      return make(std::max(time, state.low + 1), count, 0);
    }
    if (waiters + count > kMostWaiters) return state;
    if (mutex != nullptr) {
      joined = true;
      return make(state.low, waiters + count, sum_of(state));
    }
    const uint64_t after = time > state.low ? (time - state.low) * count : 0;
    if (after > kSumMask || clock_sum_of(state) + static_cast<int64_t>(after) > kMostSum) return state;
    joined = true;
    return make(state.low, waiters + count, packed(clock_sum_of(state) + static_cast<int64_t>(after)));
  });
  return own && joined;
}

// An entry that nobody waits in becomes the object's.
bool take(WaitEntry* entry, const void* object, const void* mutex, int64_t now, uint32_t count) {
  Words state = entry->state.load();
  if (state.high == kTaken || waiters_of(state) != 0) return false;
  if (!entry->state.replace(&state, {state.low, kTaken})) return false;
  entry->object.store(address_of(object), std::memory_order_relaxed);
  entry->mutex.store(address_of(mutex), std::memory_order_relaxed);
  // Nobody else writes a taken one.
  Words taken = {state.low, kTaken};
  entry->state.replace(&taken, make(std::max(static_cast<uint64_t>(now), state.low + 1), count, 0));
  return true;
}

std::atomic<uint32_t>& filter_of(const void* object) { return g_wait_filter[wait_filter_of(object)]; }

uint32_t index_of(const WaitEntry* entry) { return static_cast<uint32_t>(entry - table()->entries) + 1; }

uint32_t enter(const void* object, const void* mutex, int64_t now, uint32_t count, bool is_filtered = true) {
  // Before the entry: an unlock that comes in between finds none, and one that comes later must look.
  if (is_filtered) filter_of(object).fetch_add(count, std::memory_order_seq_cst);
  WaitEntry* entry = find(object);
  if (entry != nullptr && join(entry, object, mutex, now, count)) return index_of(entry);
  entry = first_entry_of(object);
  // Two threads may take one each for the same lock at once: an unlock then finds the first of them, and the other's wait goes
  // uncharged.
  for (unsigned i = 0; i < kWaitProbes; ++i, ++entry) {
    if (take(entry, object, mutex, now, count)) return index_of(entry);
  }
  if (is_filtered) filter_of(object).fetch_sub(count, std::memory_order_relaxed);
  return 0;
}

// More waiters, in an entry that has some already. 0: no room.
uint32_t enter_again(uint32_t index, const void* object, int64_t now, uint32_t count) {
  filter_of(object).fetch_add(count, std::memory_order_seq_cst);
  if (join(&table()->entries[index - 1], object, nullptr, now, count)) return index;
  filter_of(object).fetch_sub(count, std::memory_order_relaxed);
  return 0;
}

// Waiters of a lock go, and with them what they have waited since the last release.
void leave(WaitEntry* entry, int64_t since, uint32_t count, bool is_filtered = true) {
  const auto* object = reinterpret_cast<const void*>(entry->object.load(std::memory_order_relaxed));
  bool left = false;
  change(entry, object, [&](Words state) {
    left = waiters_of(state) >= count;
    if (!left) return state;
    const auto low = static_cast<int64_t>(state.low);
    const int64_t part = since > low ? (since - low) * count : 0;
    return make(state.low, waiters_of(state) - count, packed(clock_sum_of(state) - part));
  });
  if (left && is_filtered) filter_of(object).fetch_sub(count, std::memory_order_relaxed);
}

}  // namespace

bool wait_table_create() {
  static_assert(sizeof(WaitTable) <= kSegmentBytes / 2);
  for (auto& filter : g_wait_filter) filter.store(0, std::memory_order_relaxed);
  // Entries are aligned to 16, the region's to 8.
  const Ref ref = region_allocate(sizeof(WaitTable) + 64);
  if (ref == 0) return false;
  constexpr Ref kLine = 64 >> kRefShift;
  g_region->roots[static_cast<unsigned>(Root::waits)] = (ref + kLine - 1) / kLine * kLine;
  return true;
}

uint32_t wait_begins(const void* object, const void* mutex, int64_t now, bool shows_itself) {
  const uint32_t index = enter(object, mutex, now, 1, !shows_itself);
  return index != 0 && shows_itself ? index | kShowsItself : index;
}

void wait_ends(uint32_t index, int64_t since) {
  WaitEntry* entry = &table()->entries[(index & ~kShowsItself) - 1];
  // It is a waiter's: it cannot become another's until the last of them has left.
  if (entry->mutex.load(std::memory_order_relaxed) == 0) {
    return leave(entry, since, 1, (index & kShowsItself) == 0);
  }
  const auto* condition = reinterpret_cast<const void*>(entry->object.load(std::memory_order_relaxed));
  bool was_signalled = false;
  int64_t signalled_at = 0;
  uint32_t of_mutex = 0;
  change(entry, condition, [&](Words state) {
    if (waiters_of(state) == 0) return state;
    was_signalled = signalled_of(state) != 0;
    signalled_at = static_cast<int64_t>(state.low);
    of_mutex = mutex_entry_of(state);
    return make(state.low, waiters_of(state) - 1, sum_of(state) - (was_signalled ? 1 : 0));
  });
  filter_of(condition).fetch_sub(1, std::memory_order_relaxed);
  if (was_signalled) leave(&table()->entries[of_mutex - 1], signalled_at, 1);
}

Release lock_is_released(const void* object, int64_t now) {
  Release release;
  WaitEntry* entry = find(object);
  if (entry == nullptr) return release;
  change(entry, object, [&](Words state) {
    const uint64_t waiters = waiters_of(state);
    const auto time = static_cast<uint64_t>(now);
    release = {};
    if (waiters == 0 || time <= state.low) return state;
    const int64_t all = static_cast<int64_t>(waiters * (time - state.low));
    release.waiters = static_cast<uint32_t>(waiters);
    release.waited_ns = std::max<int64_t>(all - clock_sum_of(state), 0);
    return make(time, waiters, 0);
  });
  return release;
}

void condition_is_signalled(const void* condition, uint32_t most, uint32_t present, int64_t now) {
  WaitEntry* entry = find(condition);
  if (entry == nullptr) return;
  const auto* mutex = reinterpret_cast<const void*>(entry->mutex.load(std::memory_order_acquire));
  if (mutex == nullptr) return;
  // First to the mutex, then out of the condition: in between nobody of them runs, and one that gives up is told by the count.
  uint32_t entered = 0;
  uint32_t index = 0;  // of the mutex's entry: those who leave must leave this one, whatever others there are by then
  const auto withdraw = [&] {
    if (entered != 0) leave(&table()->entries[index - 1], now, entered);
    entered = 0;
  };
  const bool own = change(entry, condition, [&](Words state) {
    const uint32_t signalled = signalled_of(state);
    const auto registered = static_cast<uint32_t>(std::min<uint64_t>(waiters_of(state), present));
    const uint32_t asleep = registered - std::min(registered, signalled);
    const uint32_t woken = std::min(asleep, most);
    const bool same_entry = signalled == 0 || index == mutex_entry_of(state);
    if (woken != entered || !same_entry) {
      withdraw();
      index = woken == 0       ? 0
              : signalled == 0 ? enter(mutex, nullptr, now, woken)
                               : enter_again(mutex_entry_of(state), mutex, now, woken);
      entered = index == 0 ? 0 : woken;
    }
    if (entered == 0) return state;
    return make(std::max(static_cast<uint64_t>(now), state.low), waiters_of(state),
                uint64_t{index} << kSignalledBits | (signalled + entered));
  });
  if (!own) withdraw();
}

}  // namespace prof
