// What threads did and when, for a timeline: a ring of events for each thread, the oldest of which are written over.
// Signal-safe and lock-free.
//
//   TraceRecord  seats[ ring, ended ] ──▶ TraceRing      one a thread; kept when the thread has ended
//                                           ├ first ─┐     next ─┐           indexes, counted from the ring's making on; never reset
//                                           └ cells[ ▼ . . . . . ▼ ]         index % cells
//
// A ring has one writer: its thread, with the signal handlers that run in it. Each event takes an index first, so that
// a handler that comes in between has the next one. A cell's sequence tells a reader what is in it: 2 * index + 1 while
// the event is written, 2 * index + 2 when it is whole. What is read is whole if the sequence was right before, and the
// ring's `next` had not come round to the same cell after (core/report/trace_from_region.cc).
//
// Rings are made until they are as many as they may be; then that of the thread which ended first is taken.
#pragma once

#include "core/base/region.h"
#include "core/record/thread_table.h"

namespace prof {

enum class TraceKind : uint8_t {
  none,
  wait,     // begin, end, object, stack; wait and wait_end
  release,  // of a lock, or a signal to a condition, while somebody waits: begin and end of the call, object, stack, count
  sample,  // begin: when the thread's CPU clock ticked; count: ticks that it stands for; stack
  labels,  // begin: from when on; object: the thread's label set until then; value: from then on; 0: none
};

// How a wait ended.
enum class WaitEnd : uint8_t { reached, timed_out, interrupted, goes_on };

struct TraceEvent {
  int64_t begin_ns;  // CLOCK_MONOTONIC
  int64_t end_ns;
  uint64_t object;  // address of what was waited for or given free
  Ref stack;        // 0: not known
  Ref value;
  TraceKind kind;
  uint8_t wait;  // a WaitKind. Of a release: mutex for any lock, condition, barrier
  WaitEnd wait_end;
  uint8_t reserved;
  uint32_t count;  // release: waiters that it may have woken
};
inline constexpr unsigned kTraceWords = 5;
static_assert(sizeof(TraceEvent) == kTraceWords * sizeof(uint64_t));

struct TraceCell {
  std::atomic<uint64_t> sequence;  // first: who copies from the front sees no new sequence before an old event
  std::atomic<uint64_t> words[kTraceWords];
};

struct TraceRing {
  uint32_t seat;                  // its index among the seats
  std::atomic<int32_t> tid;       // of its thread, also after that one's end; 0: it was never used
  std::atomic<Ref> name;          // thread_names: when last asked for; 0: not known
  std::atomic<uint32_t> busy;     // 1: it is being handed to a thread
  std::atomic<int64_t> begin_ns;  // of the thread; 0: before it was traced
  std::atomic<uint64_t> thread;   // pthread_t; 0: not known
  std::atomic<uint64_t> first;    // the first index of this thread
  std::atomic<uint64_t> next;
  TraceCell cells[];
};

// Side by side, since all are looked at for the one that ended first.
struct TraceSeat {
  std::atomic<Ref> ring;  // 0: none yet
  uint32_t reserved;
  std::atomic<int64_t> ended_ns;  // of the thread; 0: it lives
};

// Root::trace
struct TraceRecord {
  uint32_t cells;  // of each ring
  uint32_t most_rings;
  std::atomic<uint32_t> rings;  // seats that are taken
  uint32_t reserved;
  std::atomic<uint64_t> waits_from_ns;  // shorter ones are not recorded
  TraceSeat seats[];
};

inline constexpr unsigned kMostRingBytes = kSegmentBytes / 2;
inline constexpr unsigned kLeastRingBytes = 4096;
inline constexpr unsigned kMostTraceBytes = 64u << 20;  // of all rings

// The record, in a new region; no ring yet. False: no room. Normal code.
bool trace_create(uint32_t ring_bytes);

// A ring for a thread. 0: there is no room, and nobody's to be had.
Ref take_trace_ring(int tid, int64_t begin_ns, uint64_t thread);
// Its thread has ended. name: 0 where it is not known.
void end_trace_ring(TraceRing* ring, Ref name, int64_t now);
// It was taken in vain: another is in use.
void give_back_trace_ring(TraceRing* ring);

// In the ring's thread.
void put_trace_event(TraceRing* ring, const TraceEvent& event);

}  // namespace prof
