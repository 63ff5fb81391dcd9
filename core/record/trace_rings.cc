#include "core/record/trace_rings.h"

#include <algorithm>
#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {
namespace {

TraceRecord* record() { return region_root<TraceRecord>(Root::trace); }

Ref make_ring() {
  TraceRecord* trace = record();
  if (trace->rings.load(std::memory_order_relaxed) >= trace->most_rings) return 0;
  const Ref ref = region_allocate(sizeof(TraceRing) + trace->cells * sizeof(TraceCell));
  if (ref == 0) return 0;
  // After the room, which may be refused now and be had later. Of two threads that want the last seat one gets none,
  // and its room is lost.
  const uint32_t seat = trace->rings.fetch_add(1, std::memory_order_relaxed);
  if (seat >= trace->most_rings) return 0;
  auto* ring = region_at<TraceRing>(ref);
  ring->seat = seat;
  ring->busy.store(1, std::memory_order_relaxed);
  trace->seats[seat].ring.store(ref, std::memory_order_release);
  return ref;
}

// Of the thread that ended first. Nobody writes into an ended thread's ring.
Ref take_ended_ring() {
  TraceRecord* trace = record();
  constexpr int kTries = 4;  // others take some at the same time
  for (int i = 0; i < kTries; ++i) {
    TraceSeat* oldest = nullptr;
    int64_t oldest_ns = INT64_MAX;
    for (uint32_t seat = 0; seat < trace->most_rings; ++seat) {
      const int64_t ended = trace->seats[seat].ended_ns.load(std::memory_order_relaxed);
      if (ended == 0 || ended >= oldest_ns) continue;
      oldest = &trace->seats[seat];
      oldest_ns = ended;
    }
    if (oldest == nullptr) return 0;
    const Ref ref = oldest->ring.load(std::memory_order_relaxed);
    if (oldest->ended_ns.compare_exchange_strong(oldest_ns, 0, std::memory_order_acquire)) {
      region_at<TraceRing>(ref)->busy.store(1, std::memory_order_release);
      return ref;
    }
  }
  return 0;
}

void end(const TraceRing* ring, int64_t now) {
  record()->seats[ring->seat].ended_ns.store(now, std::memory_order_release);
}

}  // namespace

bool trace_create(uint32_t ring_bytes) {
  const uint32_t bytes = std::clamp(ring_bytes, kLeastRingBytes, kMostRingBytes);
  const uint32_t most = kMostTraceBytes / bytes;
  const Ref ref = region_allocate(sizeof(TraceRecord) + most * sizeof(TraceSeat));
  g_region->roots[static_cast<unsigned>(Root::trace)] = ref;
  if (ref == 0) return false;
  TraceRecord* trace = record();
  trace->cells = static_cast<uint32_t>((bytes - sizeof(TraceRing)) / sizeof(TraceCell));
  trace->most_rings = most;
  return true;
}

Ref take_trace_ring(int tid, int64_t begin_ns, uint64_t thread) {
  Ref ref = make_ring();
  if (ref == 0) {
    ref = take_ended_ring();
    if (ref == 0) return 0;
    // One that was given back before any event has none to lose.
    if (region_at<TraceRing>(ref)->tid.load(std::memory_order_relaxed) != 0)
      count_loss(LossCause::trace_thread_dropped);
  }
  auto* ring = region_at<TraceRing>(ref);
  ring->first.store(ring->next.load(std::memory_order_relaxed), std::memory_order_release);
  ring->tid.store(tid, std::memory_order_relaxed);
  ring->name.store(0, std::memory_order_relaxed);
  ring->thread.store(thread, std::memory_order_relaxed);
  ring->begin_ns.store(begin_ns, std::memory_order_relaxed);
  ring->busy.store(0, std::memory_order_release);
  return ref;
}

void end_trace_ring(TraceRing* ring, Ref name, int64_t now) {
  if (name != 0) ring->name.store(name, std::memory_order_relaxed);
  end(ring, now);
}

void give_back_trace_ring(TraceRing* ring) {
  ring->tid.store(0, std::memory_order_relaxed);
  constexpr int64_t kBeforeAll = 1;
  end(ring, kBeforeAll);
}

void put_trace_event(TraceRing* ring, const TraceEvent& event) {
  const uint32_t cells = record()->cells;
  const uint64_t index = ring->next.fetch_add(1, std::memory_order_relaxed);
  const uint64_t first = ring->first.load(std::memory_order_relaxed);
  TraceCell& cell = ring->cells[index % cells];
  if (index - first >= cells) {
    count_loss(LossCause::trace_overwritten);
    // This thread was interrupted in the middle of writing it, and its handlers have been through the whole ring since:
    // it is the interrupted one's still.
    const uint64_t present = cell.sequence.load(std::memory_order_relaxed);
    if ((present & 1) != 0 && present / 2 >= first) return;
  }
  cell.sequence.store(2 * index + 1, std::memory_order_relaxed);
  // Who reads a word of this event finds `next` past its index, and the cell's sequence changed.
  std::atomic_thread_fence(std::memory_order_release);
  uint64_t words[kTraceWords];
  memcpy(words, &event, sizeof(words));
  for (unsigned i = 0; i < kTraceWords; ++i) cell.words[i].store(words[i], std::memory_order_relaxed);
  cell.sequence.store(2 * index + 2, std::memory_order_release);
}

}  // namespace prof
