#include "core/record/trace_rings.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/record/loss_counters.h"
#include "core/record/record.h"
#include "core/report/snapshot_from_region.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({.trace_ring_bytes = kLeastRingBytes}));
}

static TraceRing* ring_at(Ref ref) { return region_at<TraceRing>(ref); }
static TraceRecord* record() { return region_root<TraceRecord>(Root::trace); }

// Every word of it follows from the number: a torn one shows.
static TraceEvent event_of(uint64_t number) {
  TraceEvent event = {};
  event.begin_ns = g_region->start_monotonic_ns + static_cast<int64_t>(number);
  event.end_ns = event.begin_ns;
  event.object = number * 3;
  event.value = static_cast<Ref>(number);
  event.kind = TraceKind::release;
  event.count = static_cast<uint32_t>(number * 7);
  return event;
}

static bool is_whole(const TraceItem& item) {
  const uint64_t number = item.object / 3;
  return item.object % 3 == 0 && item.value == static_cast<uint32_t>(number) &&
         item.count == static_cast<uint32_t>(number * 7) && item.end_ns == item.begin_ns &&
         item.begin_ns == g_region->start_monotonic_ns + static_cast<int64_t>(number);
}

static Snapshot read() {
  SnapshotParts parts;
  parts.trace = true;
  parts.trace_to_ns = INT64_MAX;
  return snapshot_from_region(RegionView::of_self(g_region), parts);
}

static const TracedThread* thread_of(const Snapshot& snapshot, int tid) {
  for (const TracedThread& thread : snapshot.trace.threads) {
    if (thread.tid == tid) return &thread;
  }
  return nullptr;
}

static uint64_t losses(LossCause cause) {
  return region_root<LossCounters>(Root::losses)->of[static_cast<unsigned>(cause)].times.load();
}

Test(trace_rings, keeps_the_newest_and_counts_the_rest, .init = setup) {
  TraceRing* ring = ring_at(take_trace_ring(7, 1, 0));
  const uint64_t cells = record()->cells;
  for (uint64_t i = 0; i < cells; ++i) put_trace_event(ring, event_of(i));
  Snapshot snapshot = read();
  cr_assert_eq(thread_of(snapshot, 7)->items.size(), cells);
  cr_assert_eq(thread_of(snapshot, 7)->overwritten, 0u);
  for (uint64_t i = cells; i < 2 * cells + 5; ++i) put_trace_event(ring, event_of(i));
  snapshot = read();
  const TracedThread* thread = thread_of(snapshot, 7);
  cr_assert_eq(thread->items.size(), cells);
  cr_assert_eq(thread->items.front().object, (cells + 5) * 3);
  cr_assert_eq(thread->items.back().object, (2 * cells + 4) * 3);
  cr_assert_eq(thread->overwritten, cells + 5);
  cr_assert_eq(losses(LossCause::trace_overwritten), cells + 5);
}

Test(trace_rings, what_is_lost_of_before_the_window_is_not_missed, .init = setup) {
  TraceRing* ring = ring_at(take_trace_ring(7, 1, 0));
  const uint64_t cells = record()->cells;
  for (uint64_t i = 0; i < cells * 2; ++i) put_trace_event(ring, event_of(i));
  SnapshotParts parts;
  parts.trace = true;
  parts.trace_from_ns = g_region->start_monotonic_ns + static_cast<int64_t>(cells + 10);
  parts.trace_to_ns = parts.trace_from_ns + 4;
  const Snapshot snapshot = snapshot_from_region(RegionView::of_self(g_region), parts);
  const TracedThread* thread = thread_of(snapshot, 7);
  cr_assert_eq(thread->items.size(), 5u);
  cr_assert_eq(thread->overwritten, 0u);
}

Test(trace_rings, an_ended_thread_s_ring_is_kept_until_it_is_needed_the_oldest_first, .init = setup) {
  const uint32_t most = record()->most_rings;
  std::vector<Ref> rings;
  for (uint32_t i = 0; i < most; ++i) {
    rings.push_back(take_trace_ring(static_cast<int>(i + 1), 1, 0));
    cr_assert_neq(rings.back(), 0u);
    put_trace_event(ring_at(rings.back()), event_of(i));
  }
  cr_assert_eq(take_trace_ring(100'000, 1, 0), 0u, "all of them live");
  end_trace_ring(ring_at(rings[5]), 0, g_region->start_monotonic_ns + 2000);
  end_trace_ring(ring_at(rings[9]), 0, g_region->start_monotonic_ns + 1000);
  cr_assert_eq(thread_of(read(), 10)->items.size(), 1u);
  cr_assert_eq(take_trace_ring(100'001, 3, 0), rings[9]);
  const Snapshot snapshot = read();
  cr_assert_null(thread_of(snapshot, 10));
  cr_assert_eq(thread_of(snapshot, 100'001)->items.size(), 0u, "the last thread's are not the next one's");
  cr_assert_eq(thread_of(snapshot, 6)->items.size(), 1u);
  cr_assert_eq(losses(LossCause::trace_thread_dropped), 1u);
  put_trace_event(ring_at(rings[9]), event_of(77));
  const Snapshot later = read();
  cr_assert_eq(thread_of(later, 100'001)->items.at(0).object, 77u * 3);
}

static TraceRing* g_ring;
static std::atomic<uint64_t> g_number{0};

static void on_signal(int) {
  for (int i = 0; i < 3; ++i) put_trace_event(g_ring, event_of(g_number.fetch_add(1)));
}

Test(trace_rings, handlers_write_into_the_middle_of_it, .init = setup, .timeout = 60) {
  g_ring = ring_at(take_trace_ring(7, 1, 0));
  signal(SIGUSR1, on_signal);
  std::atomic<bool> done{false};
  const pthread_t self = pthread_self();
  std::thread disturber([&] {
    while (!done.load()) pthread_kill(self, SIGUSR1);
  });
  uint64_t read_items = 0;
  for (int round = 0; round < rounds(300); ++round) {
    for (int i = 0; i < 500; ++i) put_trace_event(g_ring, event_of(g_number.fetch_add(1)));
    sigset_t block;
    sigset_t before;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    const Snapshot snapshot = read();
    const TracedThread* thread = thread_of(snapshot, 7);
    // Nobody writes now: all but those that were given up for an interrupted one's sake.
    cr_assert_geq(thread->items.size() + 8, record()->cells);
    for (const TraceItem& item : thread->items) cr_assert(is_whole(item));
    read_items += thread->items.size();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  done.store(true);
  disturber.join();
  cr_assert_gt(read_items, 0u);
}

Test(trace_rings, a_reader_beside_writers_sees_whole_events_only, .init = setup, .timeout = 60) {
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (int t = 1; t <= 3; ++t) {
    writers.emplace_back([t, &done] {
      // And gives its ring on now and then.
      for (uint64_t i = 0; !done.load();) {
        const Ref ref = take_trace_ring(t, 1, 0);
        if (ref == 0) continue;
        for (int n = 0; n < 20'000 && !done.load(); ++n, ++i) put_trace_event(ring_at(ref), event_of(i));
        end_trace_ring(ring_at(ref), 0, g_region->start_monotonic_ns + static_cast<int64_t>(i) + 1);
      }
    });
  }
  uint64_t items = 0;
  uint64_t torn = 0;
  // The writers make more rings all the time: it is many items, or many looks.
  while (items < static_cast<uint64_t>(rounds(300'000))) {
    const Snapshot snapshot = read();
    for (const TracedThread& thread : snapshot.trace.threads) {
      for (const TraceItem& item : thread.items) {
        torn += is_whole(item) ? 0 : 1;
        ++items;
      }
    }
  }
  done.store(true);
  for (auto& writer : writers) writer.join();
  cr_assert_eq(torn, 0u);
}

Test(trace_rings, what_is_written_over_while_it_is_read_is_left_out, .init = setup, .timeout = 60) {
  TraceRing* ring = ring_at(take_trace_ring(7, 1, 0));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t i = 0; !done.load(std::memory_order_relaxed); ++i) put_trace_event(ring, event_of(i));
  });
  uint64_t torn = 0;
  uint64_t items = 0;
  for (int look = 0; look < rounds(6'000); ++look) {
    const Snapshot snapshot = read();
    for (const TraceItem& item : thread_of(snapshot, 7)->items) {
      torn += is_whole(item) ? 0 : 1;
      ++items;
    }
  }
  done.store(true);
  writer.join();
  cr_assert_eq(torn, 0u);
  cr_assert_gt(items, 0u);
}
