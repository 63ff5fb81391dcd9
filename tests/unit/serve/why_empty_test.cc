#include "core/serve/why_empty.h"

#include <criterion/criterion.h>

#include "tests/unit/serve/status_test.h"

using namespace prof;

namespace {

Snapshot empty_snapshot() {
  Snapshot snapshot = test_snapshot();
  snapshot.cpu.samples.clear();
  snapshot.heap.samples.clear();
  snapshot.events.clear();
  snapshot.losses.clear();
  return snapshot;
}

std::string why(const Status& status, ProfileKind kind) {
  std::string all;
  for (const std::string& sentence : why_empty(status, kind_of(status, kind))) all += sentence + "\n";
  return all;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

Test(why_empty, what_has_samples_and_no_losses_needs_no_words) {
  Snapshot snapshot = test_snapshot();
  snapshot.losses.clear();
  for (const KindStatus& kind : test_status(snapshot).kinds) cr_assert(why_empty(test_status(snapshot), kind).empty());
}

Test(why_empty, every_kind_without_samples_has_a_reason) {
  const Status status = test_status(empty_snapshot());
  cr_assert(has(why(status, ProfileKind::cpu),
                "has used 20 ms of CPU time in the 2 h 3 min since its start; a sample is taken each 10 ms"));
  cr_assert(
      has(why(status, ProfileKind::heap), "a sample is taken every 512 KiB on average (PROF_HEAP_RATE=1 takes each)"));
  cr_assert(has(why(status, ProfileKind::block), "that was longer than 10 us"));
  cr_assert(has(why(status, ProfileKind::block), "std::atomic::wait"));
  cr_assert_eq(why(status, ProfileKind::wall), "No thread has been looked at yet.\n");
  cr_assert(has(why(status, ProfileKind::mutex), "No thread has been kept waiting"));
  cr_assert(has(why(status, ProfileKind::threadcreate), "No thread was created since 2023-11-14 22:13:20 UTC"));
}

Test(why_empty, what_is_not_switched_on_says_how) {
  for (const ProfileKind kind :
       {ProfileKind::heap, ProfileKind::block, ProfileKind::mutex, ProfileKind::threadcreate}) {
    const std::string off = why(test_status(empty_snapshot(), Recording::off), kind);
    cr_assert(off.starts_with("It is not switched on (PROF_") && !has(off, "since"), "%s", off.c_str());
    cr_assert(
        has(why(test_status(empty_snapshot(), Recording::from_request), kind), "the first request switches it on"));
  }
  cr_assert(
      has(why(test_status(empty_snapshot(), Recording::at_request), ProfileKind::cpu), "only while somebody asks"));
}

Test(why_empty, a_malloc_of_its_own_is_named) {
  Snapshot snapshot = empty_snapshot();
  snapshot.heap.foreign_malloc = "/opt/app";
  cr_assert(has(why(test_status(snapshot), ProfileKind::heap), "The program's malloc is that of /opt/app"));
  cr_assert_not(has(why(test_status(snapshot), ProfileKind::block), "malloc"));
}

Test(why_empty, sigprof_taken_or_blocked_is_said_of_what_is_sampled_by_it) {
  Snapshot snapshot = test_snapshot();
  snapshot.losses = {{LossCause::sigprof_taken, 1, 0}, {LossCause::timer_refused, 3, 0}};
  Status status = test_status(snapshot);
  status.process.sigprof_blocked_by = {{4712, "worker"}};
  for (const ProfileKind kind : {ProfileKind::cpu, ProfileKind::wall, ProfileKind::stacks}) {
    cr_assert(has(why(status, kind), "The program handles SIGPROF itself."));
    cr_assert(has(why(status, kind), "1 of 3 threads blocks SIGPROF"));
  }
  cr_assert(has(why(status, ProfileKind::cpu), "refused a timer 3 times"));
  cr_assert_eq(why(status, ProfileKind::heap), "");
}

Test(why_empty, waits_that_go_on_are_said) {
  Snapshot snapshot = empty_snapshot();
  snapshot.waits_now = 2;
  snapshot.longest_wait_now_ns = 90 * kTestSecond;
  cr_assert(has(why(test_status(snapshot), ProfileKind::block), "2 go on now, the longest for 1 min 30 s."));
}

Test(why_empty, full_memory_is_said_of_every_kind) {
  Snapshot snapshot = test_snapshot();
  snapshot.losses = {{LossCause::region_full, 1, 0}};
  for (const KindStatus& kind : test_status(snapshot).kinds) {
    cr_assert(has(why_empty(test_status(snapshot), kind).back(), "libprof got no more memory: 1 event"));
  }
}

Test(why_empty, a_rate_of_0_is_said) {
  StatusSettings settings = test_settings();
  settings.heap_rate = 0;
  settings.block_rate_ns = 0;
  settings.mutex_fraction = 0;
  const auto status = [&](const Snapshot& snapshot) {
    return status_from_snapshot(snapshot, settings, test_facts(), ModuleMap::of_text("", "/x"));
  };
  for (const ProfileKind kind : {ProfileKind::heap, ProfileKind::allocs, ProfileKind::block, ProfileKind::mutex}) {
    cr_assert_eq(why(status(empty_snapshot()), kind),
                 "Its rate is 0: nothing is recorded of it, until another is set.\n");
    cr_assert(has(why(status(test_snapshot()), kind), "Its rate is 0"), "also where there are samples of before");
  }
}

Test(why_empty, a_pause_is_said) {
  StatusSettings settings = test_settings();
  settings.is_paused = true;
  const Status status = status_from_snapshot(empty_snapshot(), settings, test_facts(), ModuleMap::of_text("", "/x"));
  cr_assert(why(status, ProfileKind::cpu).starts_with("The program has paused recording"));
  cr_assert(why(status, ProfileKind::heap).starts_with("The program has paused recording"));
  cr_assert_not(has(why(status, ProfileKind::stacks), "paused"));
}
