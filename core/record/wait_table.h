// Who waits for which lock, and since when: what an unlock is charged with. Signal-safe and lock-free; in the region.
//
// An entry stands for a lock as long as somebody waits for it. Its state is two words that change together:
//
//    low                              high: 63          48 47                          0
//   ┌────────────────────────────┐   ┌───────────────────┬────────────────────────────┐
//   │ ns of the last release     │   │ waiters           │ sum, over the waiters, of  │  a lock's
//   │ (or of the entry's taking) │   │                   │ when each began, after low │
//   └────────────────────────────┘   ├───────────────────┼────────────────────────────┤
//                                    │ waiters           │ of these, signalled        │  a condition's
//                                    └───────────────────┴────────────────────────────┘
//
// So a release knows at once how long all waiters together have waited since the last one, which is what this holder is
// charged with, and takes the clock of all of them up to now. A waiter that was charged to nobody (it gave up) takes its
// part out again. So does one that has the lock: the release that it waited for was reported before the lock was free, and
// what passed since then is no holder's.
//
// A condition's waiter becomes a waiter for the mutex by the signal that wakes it, long before it runs: the signalling thread
// enters it there.
//
// An entry without waiters is anybody's: it is taken by setting its state to kTaken, and the time in `low` when it is given
// free differs from all before, so that a replace() that was begun with the old owner fails.
#pragma once

#include "core/base/atomic128.h"
#include "core/base/region.h"

namespace prof {

inline constexpr unsigned kWaitEntries = 1 << 13;
inline constexpr unsigned kWaitProbes = 16;
inline constexpr unsigned kWaitFilters = 1 << 12;

struct WaitEntry {
  std::atomic<uint64_t> object;  // address of the lock or the condition; 0: never taken
  std::atomic<uint64_t> mutex;   // a condition's; else 0
  AtomicWords state;
};

// Root::waits
struct WaitTable {
  alignas(64) WaitEntry entries[kWaitEntries + kWaitProbes];
};

// How many entries of this class of addresses are waited for: what an unlock looks at. Of this process.
extern __attribute__((visibility("hidden"))) std::atomic<uint32_t> g_wait_filter[kWaitFilters];

inline unsigned wait_filter_of(const void* object) {
  const auto address = reinterpret_cast<uint64_t>(object);
  return static_cast<unsigned>((address >> 3) ^ (address >> 15)) % kWaitFilters;
}
inline bool may_be_waited_for(const void* object) {
  return g_wait_filter[wait_filter_of(object)].load(std::memory_order_relaxed) != 0;
}

// The table, in a new region; the filter is empty again. False: no room. Normal code.
bool wait_table_create();

// A thread begins to wait, at `now` (CLOCK_MONOTONIC). Answers its entry, for wait_ends; 0: no room.
// mutex: of a condition, the mutex that its waiters will want back; else null.
// shows_itself: an unlock sees by the lock that somebody waits, and the filter is left alone: it would go from processor to processor.
uint32_t wait_begins(const void* object, const void* mutex, int64_t now, bool shows_itself = false);
// It has what it waited for, or gave up. since: when it began.
void wait_ends(uint32_t entry, int64_t since);

struct Release {
  uint32_t waiters = 0;
  int64_t waited_ns = 0;  // by all of them, since the last release
};
// The lock is about to be given free.
Release lock_is_released(const void* object, int64_t now);

// So many of a condition's waiters are about to be woken. present: those that are in it by its own account; a waiter that has not
// registered itself there yet will sleep on.
void condition_is_signalled(const void* condition, uint32_t most, uint32_t present, int64_t now);

}  // namespace prof
