#include "tests/unit/serve/status_test.h"

#include <criterion/criterion.h>

#include <algorithm>

using namespace prof;

Test(status, counts_each_kind) {
  const Status status = test_status();
  struct {
    ProfileKind kind;
    uint64_t records, samples, ns, freed;
  } const cases[] = {{ProfileKind::cpu, 2, 7, 70'000'000, 0},  {ProfileKind::heap, 2, 6, 0, 3},
                     {ProfileKind::allocs, 2, 6, 0, 3},        {ProfileKind::block, 2, 5, 8'000'000, 0},
                     {ProfileKind::mutex, 1, 1, 500, 0},       {ProfileKind::threadcreate, 1, 6, 0, 0},
                     {ProfileKind::wall, 1, 9, 90'000'000, 0}, {ProfileKind::stacks, 3, 0, 0, 0}};
  for (const auto& wanted : cases) {
    const KindStatus& kind = kind_of(status, wanted.kind);
    cr_assert_eq(kind.records, wanted.records, "%u", static_cast<unsigned>(wanted.kind));
    cr_assert_eq(kind.samples, wanted.samples, "%u", static_cast<unsigned>(wanted.kind));
    cr_assert_eq(kind.ns, wanted.ns, "%u", static_cast<unsigned>(wanted.kind));
    cr_assert_eq(kind.freed, wanted.freed, "%u", static_cast<unsigned>(wanted.kind));
  }
}

Test(status, has_losses_by_cause) {
  const Status status = test_status();
  cr_assert_eq(status.losses_of(LossCause::stack_too_deep), 12u);
  cr_assert_eq(status.losses_of(LossCause::no_scratch), 2u);
  cr_assert_eq(status.lost_ticks[static_cast<unsigned>(LossCause::no_scratch)], 5u);
  cr_assert_eq(status.losses_of(LossCause::region_full), 0u);
}

Test(status, events_in_another_order_are_not_less) {
  Snapshot snapshot = test_snapshot();
  snapshot.events.clear();
  for (int i = 0; i < 1000; ++i) snapshot.events.push_back(test_event(EventKind::block, 0.1 * i, 1));
  const uint64_t there = kind_of(test_status(snapshot), ProfileKind::block).samples;
  std::reverse(snapshot.events.begin(), snapshot.events.end());
  cr_assert_eq(kind_of(test_status(snapshot), ProfileKind::block).samples, there);
}
