#include "preload/trace_sampling.h"

#include <algorithm>

#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/record/loss_counters.h"
#include "core/record/thread_names.h"

namespace prof {

std::atomic<uint32_t> g_tracers{0};

namespace {

constexpr Ref kOver = ~Ref{0};  // in a slot whose thread has ended for the trace

int64_t g_least_wait_ns = 0;

int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

// The ring of the slot's thread, which is the calling one. Null: it has none, and that is counted; or its end was
// noted.
TraceRing* ring_of(ThreadSlot* slot, int64_t begin_ns = 0) {
  Ref ref = slot->trace.load(std::memory_order_relaxed);
  if (ref == kOver) return nullptr;
  if (ref == 0) {
    const uint64_t thread = slot->registered != 0 ? slot->stack_high : 0;  // as threads.cc knows it
    const Ref taken = take_trace_ring(slot->tid.load(std::memory_order_relaxed), begin_ns, thread);
    if (taken == 0) {
      count_loss(LossCause::trace_no_room);
      return nullptr;
    }
    // A signal handler may have taken one in between.
    if (slot->trace.compare_exchange_strong(ref, taken, std::memory_order_release)) return region_at<TraceRing>(taken);
    give_back_trace_ring(region_at<TraceRing>(taken));
    if (ref == kOver) return nullptr;
  }
  return region_at<TraceRing>(ref);
}

void put(ThreadSlot* slot, const TraceEvent& event) {
  if (TraceRing* ring = ring_of(slot); ring != nullptr) put_trace_event(ring, event);
}

}  // namespace

void trace_prepare(int64_t least_wait_ns) {
  g_least_wait_ns = least_wait_ns;
  region_root<TraceRecord>(Root::trace)->waits_from_ns.store(static_cast<uint64_t>(least_wait_ns));
}

void trace_switch_on() { g_tracers.fetch_add(1, std::memory_order_release); }
void trace_switch_off() { g_tracers.fetch_sub(1, std::memory_order_release); }
void trace_forget() { g_tracers.store(0, std::memory_order_relaxed); }

void trace_thread_begins(ThreadSlot* slot) {
  if (!trace_is_on()) return;
  ring_of(slot, now_ns());
  if (const LabelId inherited = slot->labels.load(std::memory_order_relaxed); inherited != 0) {
    trace_labels(slot, inherited, inherited);
  }
}

void trace_thread_ends(ThreadSlot* slot) {
  const Ref ref = slot->trace.load(std::memory_order_relaxed);
  if (ref == 0 || ref == kOver) return;
  const Ref name = own_thread_name(slot, 0, 0);
  // First: a handler that comes later must not write into a ring that may be another's.
  slot->trace.store(kOver, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  end_trace_ring(region_at<TraceRing>(ref), name, now_ns());
}

void trace_wait(ThreadSlot* slot, const WaitNote& note, WaitKind kind, int64_t now, WaitEnd end) {
  if (slot == nullptr || now - note.since_ns < g_least_wait_ns) return;
  put(slot, {.begin_ns = note.since_ns,
             .end_ns = now,
             .object = note.object,
             .stack = note.stack,
             .value = 0,
             .kind = TraceKind::wait,
             .wait = static_cast<uint8_t>(kind),
             .wait_end = end,
             .reserved = 0,
             .count = 0});
}

void trace_release(ThreadSlot* slot, WaitKind kind, const void* object, int64_t begin_ns, int64_t end_ns, Ref stack,
                   uint32_t waiters) {
  if (slot == nullptr) return;
  put(slot, {.begin_ns = begin_ns,
             .end_ns = end_ns,
             .object = reinterpret_cast<uint64_t>(object),
             .stack = stack,
             .value = 0,
             .kind = TraceKind::release,
             .wait = static_cast<uint8_t>(kind),
             .wait_end = WaitEnd::reached,
             .reserved = 0,
             .count = waiters});
}

void trace_sample(ThreadSlot* slot, Ref name, Ref stack, uint64_t ticks) {
  TraceRing* ring = ring_of(slot);
  if (ring == nullptr) return;
  ring->name.store(name, std::memory_order_relaxed);
  const int64_t now = clock_ns_by_kernel(CLOCK_MONOTONIC);
  put_trace_event(ring, {.begin_ns = now,
                         .end_ns = now,
                         .object = 0,
                         .stack = stack,
                         .value = 0,
                         .kind = TraceKind::sample,
                         .wait = 0,
                         .wait_end = WaitEnd::reached,
                         .reserved = 0,
                         .count = static_cast<uint32_t>(std::min<uint64_t>(ticks, ~uint32_t{0}))});
}

void trace_labels(ThreadSlot* slot, LabelId before, LabelId labels) {
  const ErrnoSaver errno_saver;
  const int64_t now = now_ns();
  put(slot, {.begin_ns = now,
             .end_ns = now,
             .object = before,
             .stack = 0,
             .value = labels,
             .kind = TraceKind::labels,
             .wait = 0,
             .wait_end = WaitEnd::reached,
             .reserved = 0,
             .count = 0});
}

}  // namespace prof
