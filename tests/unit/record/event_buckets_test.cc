#include "core/record/event_buckets.h"

#include <criterion/criterion.h>

#include <thread>
#include <vector>

#include "core/record/record.h"
#include "core/record/stack_table.h"
#include "core/report/snapshot_from_region.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({.events = true}));
}

static Ref stack_of(uint64_t leaf) {
  const uint64_t frames[] = {0x10'0000 + leaf, 0x20'0000};
  return intern_stack(frames, 2, 0);
}

Test(event_buckets, one_for_each_kind_stack_and_detail, .init = setup) {
  const Ref first = find_event_bucket(EventKind::block, stack_of(1));
  cr_assert_eq(find_event_bucket(EventKind::block, stack_of(1)), first);
  cr_assert_neq(find_event_bucket(EventKind::mutex, stack_of(1)), first);
  cr_assert_neq(find_event_bucket(EventKind::block, stack_of(2)), first);
  cr_assert_neq(find_event_bucket(EventKind::thread_created, stack_of(1), 5),
                find_event_bucket(EventKind::thread_created, stack_of(1), 6));
}

Test(event_buckets, what_several_threads_count_is_the_sum_of_it, .init = setup) {
  constexpr int kTimes = rounds(20'000);
  constexpr int kStacks = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kTimes; ++i) {
        const Ref bucket = find_event_bucket(EventKind::block, stack_of(static_cast<uint64_t>(i % kStacks)));
        count_events(region_at<EventBucket>(bucket), 1.5, 7);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const Snapshot snapshot = snapshot_from_region(RegionView::of_self(g_region), {0, true});
  double events = 0;
  uint64_t total = 0;
  for (const EventSample& sample : snapshot.events) {
    cr_assert_eq(sample.kind, EventKind::block);
    events += sample.events;
    total += sample.total;
  }
  cr_assert_float_eq(events, 4 * kTimes * 1.5, 1e-6);
  cr_assert_eq(total, uint64_t{4} * kTimes * 7);
}

Test(event_buckets, one_without_events_is_not_shown, .init = setup) {
  // Its thread could not be created.
  find_event_bucket(EventKind::thread_created, stack_of(1), 5);
  cr_assert(snapshot_from_region(RegionView::of_self(g_region), {0, true}).events.empty());
}
