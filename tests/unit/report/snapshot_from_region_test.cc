#include "core/report/snapshot_from_region.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include <algorithm>

#include "core/record/loss_counters.h"
#include "core/record/record.h"
#include "core/record/thread_table.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
}

static Snapshot snapshot() { return snapshot_from_region(RegionView::of_self(g_region), {}); }

Test(snapshot_from_region, says_what_memory_it_takes, .init = setup) {
  const Snapshot before = snapshot();
  cr_assert_eq(before.region_bytes % kSegmentBytes, 0u);
  cr_assert_geq(before.region_bytes, kSegmentBytes);
  cr_assert(before.region_used > 0 && before.region_used <= before.region_bytes);
  for (int i = 0; i < 5; ++i) cr_assert_neq(region_allocate(kSegmentBytes / 2), 0u);
  const Snapshot after = snapshot();
  cr_assert_gt(after.region_bytes, before.region_bytes);
  cr_assert_geq(after.region_used, before.region_used + 5 * kSegmentBytes / 2);
  cr_assert_eq(after.region_refusals, 0u);
}

Test(snapshot_from_region, knows_the_threads_that_have_a_slot, .init = setup) {
  ThreadSlot* slots[] = {take_thread_slot(), take_thread_slot(), take_thread_slot()};
  slots[0]->tid.store(11);
  slots[1]->tid.store(12);
  std::vector<int> tids = snapshot().tids;
  std::sort(tids.begin(), tids.end());
  cr_assert(tids == std::vector<int>({11, 12}), "one has not started");
  slots[0]->tid.store(0);
  give_back_thread_slot(slots[0]);
  cr_assert(snapshot().tids == std::vector<int>({12}));
}

Test(snapshot_from_region, has_losses_by_cause, .init = setup) {
  cr_assert(snapshot().losses.empty());
  count_loss(LossCause::sigprof_taken);
  count_loss(LossCause::no_scratch, 3);
  const std::vector<Loss> losses = snapshot().losses;
  cr_assert_eq(losses.size(), 2u);
  cr_assert(losses[0].cause == LossCause::no_scratch && losses[0].cpu_ticks == 3);
  cr_assert(losses[1].cause == LossCause::sigprof_taken && losses[1].count == 1);
}
