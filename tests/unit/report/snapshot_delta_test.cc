#include "core/report/snapshot_delta.h"

#include <criterion/criterion.h>

using namespace prof;

namespace {

CpuSample cpu(Ref bucket, uint64_t ticks) { return {0, "thread", ticks, bucket}; }
EventSample wall(Ref bucket, double samples, uint64_t ns) {
  return {EventKind::wall, 0, 0, samples, ns, "thread", bucket};
}

}  // namespace

Test(snapshot_delta, what_came_since) {
  Snapshot before;
  before.cpu.samples = {cpu(1, 10), cpu(2, 20)};
  before.events = {wall(1, 3, 300), wall(2, 1, 100)};
  before.losses = {{LossCause::region_full, 5, 50}, {LossCause::no_scratch, 1, 1}};
  Snapshot after;
  after.cpu.samples = {cpu(1, 10), cpu(2, 25), cpu(3, 7)};
  after.events = {wall(1, 4, 450), wall(2, 1, 100), wall(3, 2, 20)};
  after.losses = {{LossCause::region_full, 6, 52}, {LossCause::no_scratch, 1, 1}, {LossCause::free_unseen, 2, 0}};
  SnapshotBase(before).take_from(&after);
  cr_assert_eq(after.cpu.samples.size(), 2u);
  cr_assert(after.cpu.samples[0].bucket == 2 && after.cpu.samples[0].ticks == 5);
  cr_assert(after.cpu.samples[1].bucket == 3 && after.cpu.samples[1].ticks == 7);
  cr_assert_eq(after.events.size(), 2u);
  cr_assert(after.events[0].events == 1 && after.events[0].total == 150);
  cr_assert(after.events[1].events == 2 && after.events[1].total == 20);
  cr_assert_eq(after.losses.size(), 2u);
  cr_assert(after.losses[0].count == 1 && after.losses[0].cpu_ticks == 2);
  cr_assert(after.losses[1].cause == LossCause::free_unseen && after.losses[1].count == 2);
}

Test(snapshot_delta, nothing_before) {
  Snapshot after;
  after.cpu.samples = {cpu(1, 10)};
  SnapshotBase(Snapshot()).take_from(&after);
  cr_assert_eq(after.cpu.samples.size(), 1u);
  cr_assert_eq(after.cpu.samples[0].ticks, 10u);
}
