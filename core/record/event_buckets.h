// Events that are counted by kind and stack: waits, unlocks that others waited for, threads made. Signal-safe and lock-free. The
// values are what the samples stand for: each is scaled when it is recorded, since the rate may be another one later.
#pragma once

#include "core/base/region.h"

namespace prof {

enum class EventKind : uint32_t { block, mutex, thread_created };

inline constexpr unsigned kEventHeads = 1 << 12;

struct EventBucket {
  Ref next;
  Ref stack;
  EventKind kind;
  uint32_t reserved;
  uint64_t detail;              // thread_created: address of the start routine; else 0
  std::atomic<double> events;   // contentions, or threads made
  std::atomic<uint64_t> total;  // ns waited; thread_created: threads that have ended since
};

// Root::events
struct EventRecord {
  std::atomic<Ref> heads[kEventHeads];
};

// The bucket, new or old. 0: no room.
Ref find_event_bucket(EventKind kind, Ref stack, uint64_t detail = 0);

void count_events(EventBucket* bucket, double events, uint64_t total);

}  // namespace prof
