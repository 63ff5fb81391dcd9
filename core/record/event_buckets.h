// Events that are counted by kind and stack: waits, unlocks that others waited for, threads made, samples of the wall clock. Signal-safe and lock-free. The
// values are what the samples stand for: each is scaled when it is recorded, since the rate may be another one later.
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"

namespace prof {

enum class EventKind : uint32_t { block, mutex, thread_created, wall };

inline constexpr unsigned kEventHeads = 1 << 12;

struct EventBucket {
  Ref next;
  Ref stack;
  EventKind kind;
  LabelId labels;
  uint64_t detail;  // thread_created: address of the start routine; block: a WaitKind; wall: wall_detail(); else 0
  std::atomic<double> events;   // contentions, threads made, or samples
  std::atomic<uint64_t> total;  // ns; thread_created: threads that have ended since
};

// Root::events
struct EventRecord {
  int64_t wall_period_ns;
  int64_t wall_start_ns;                    // CLOCK_MONOTONIC; 0: it is not sampled
  std::atomic<uint32_t> wall_most_threads;  // at one moment: the looks were at all in turn
  std::atomic<uint32_t> is_used;            // 0: there is no bucket yet
  std::atomic<Ref> heads[kEventHeads];
};

// A wall sample's thread name (thread_names; 0: not known) and state (thread_table.h).
constexpr uint64_t wall_detail(Ref name, uint32_t state) { return uint64_t{name} << 32 | state; }

// The bucket, new or old. 0: no room.
Ref find_event_bucket(EventKind kind, Ref stack, uint64_t detail = 0, LabelId labels = 0);

void count_events(EventBucket* bucket, double events, uint64_t total);

}  // namespace prof
