#include "core/record/wait_table.h"

#include <criterion/criterion.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "core/record/record.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({.events = true}));
}

static const void* lock(uint64_t number) { return reinterpret_cast<const void*>(0x7f00'0000'0000 + number * 40); }

Test(wait_table, a_release_is_charged_with_all_that_waited, .init = setup) {
  const uint32_t first = wait_begins(lock(1), nullptr, 1000);
  const uint32_t second = wait_begins(lock(1), nullptr, 1600);
  cr_assert_eq(first, second);
  cr_assert(may_be_waited_for(lock(1)));
  Release release = lock_is_released(lock(1), 2000);
  cr_assert_eq(release.waiters, 2u);
  cr_assert_eq(release.waited_ns, 1000 + 400);
  // The first has it now; the next holder is charged with the time since.
  wait_ends(first, 1000);
  release = lock_is_released(lock(1), 2500);
  cr_assert_eq(release.waiters, 1u);
  cr_assert_eq(release.waited_ns, 500);
  wait_ends(second, 1600);
  cr_assert_not(may_be_waited_for(lock(1)));
  cr_assert_eq(lock_is_released(lock(1), 3000).waiters, 0u);
}

Test(wait_table, who_gave_up_is_nobody_s_charge, .init = setup) {
  const uint32_t stays = wait_begins(lock(1), nullptr, 1000);
  const uint32_t gives_up = wait_begins(lock(1), nullptr, 1200);
  wait_ends(gives_up, 1200);
  cr_assert_eq(lock_is_released(lock(1), 2000).waited_ns, 1000);
  wait_ends(stays, 1000);
}

Test(wait_table, another_lock_of_the_same_place_begins_at_zero, .init = setup) {
  const uint32_t old = wait_begins(lock(1), nullptr, 1000);
  wait_ends(old, 1000);
  const uint32_t present = wait_begins(lock(1), nullptr, 9000);
  cr_assert_eq(lock_is_released(lock(1), 9100).waited_ns, 100);
  wait_ends(present, 9000);
}

Test(wait_table, locks_are_kept_apart, .init = setup) {
  constexpr uint64_t kLocks = 2000;
  std::vector<uint32_t> entries;
  for (uint64_t i = 0; i < kLocks; ++i) {
    entries.push_back(wait_begins(lock(i), nullptr, 1000));
    cr_assert_neq(entries.back(), 0u);
  }
  for (uint64_t i = 0; i < kLocks; ++i) {
    const Release release = lock_is_released(lock(i), static_cast<int64_t>(2000 + i));
    cr_assert_eq(release.waiters, 1u);
    cr_assert_eq(release.waited_ns, static_cast<int64_t>(1000 + i));
  }
  for (uint64_t i = 0; i < kLocks; ++i) wait_ends(entries[i], 1000);
  for (uint64_t i = 0; i < kLocks; ++i) cr_assert_not(may_be_waited_for(lock(i)));
}

Test(wait_table, however_many_locks_come_and_go, .init = setup) {
  for (uint64_t i = 0; i < static_cast<uint64_t>(rounds(300'000)); ++i) {
    const auto now = static_cast<int64_t>(1000 + i);
    const uint32_t entry = wait_begins(lock(i), nullptr, now);
    cr_assert_neq(entry, 0u);
    cr_assert_eq(lock_is_released(lock(i), now + 50).waited_ns, 50);
    wait_ends(entry, now);
  }
}

Test(wait_table, more_at_once_than_there_is_room_are_refused, .init = setup) {
  std::vector<std::pair<const void*, uint32_t>> entries;
  unsigned refused = 0;
  for (uint64_t i = 0; i < 2 * kWaitEntries; ++i) {
    const uint32_t entry = wait_begins(lock(i), nullptr, 1000);
    if (entry == 0) {
      ++refused;
    } else {
      entries.emplace_back(lock(i), entry);
    }
  }
  cr_assert_gt(refused, kWaitEntries / 2);
  for (const auto& [object, entry] : entries) {
    cr_assert_eq(lock_is_released(object, 1100).waited_ns, 100);
    wait_ends(entry, 1000);
  }
  for (auto& filter : g_wait_filter) cr_assert_eq(filter.load(), 0u);
}

Test(wait_table, a_signalled_waiter_waits_for_the_mutex_from_then_on, .init = setup) {
  const uint32_t first = wait_begins(lock(1), lock(2), 1000);
  const uint32_t second = wait_begins(lock(1), lock(2), 1000);
  cr_assert_not(may_be_waited_for(lock(2)));
  condition_is_signalled(lock(1), 1, ~0u, 5000);
  cr_assert(may_be_waited_for(lock(2)));
  Release release = lock_is_released(lock(2), 5300);
  cr_assert_eq(release.waiters, 1u);
  cr_assert_eq(release.waited_ns, 300);
  wait_ends(first, 1000);
  cr_assert_eq(lock_is_released(lock(2), 5400).waiters, 0u);
  condition_is_signalled(lock(1), ~0u, ~0u, 6000);
  condition_is_signalled(lock(1), ~0u, ~0u, 6100);  // nobody is asleep any more
  release = lock_is_released(lock(2), 6500);
  cr_assert_eq(release.waiters, 1u);
  cr_assert_eq(release.waited_ns, 500);
  wait_ends(second, 1000);
  for (auto& filter : g_wait_filter) cr_assert_eq(filter.load(), 0u);
}

Test(wait_table, a_waiter_that_timed_out_was_not_signalled, .init = setup) {
  const uint32_t only = wait_begins(lock(1), lock(2), 1000);
  wait_ends(only, 1000);
  condition_is_signalled(lock(1), 1, ~0u, 5000);
  cr_assert_not(may_be_waited_for(lock(2)));
  for (auto& filter : g_wait_filter) cr_assert_eq(filter.load(), 0u);
}

Test(wait_table, what_passes_from_the_release_until_the_waiter_runs_is_nobody_s, .init = setup) {
  const uint32_t first = wait_begins(lock(1), nullptr, 1000, /*shows_itself=*/true);
  cr_assert_not(may_be_waited_for(lock(1)));
  const uint32_t second = wait_begins(lock(1), nullptr, 1100, true);
  cr_assert_eq(lock_is_released(lock(1), 1500).waited_ns, 500 + 400);
  wait_ends(first, 1000);  // at 1900
  const Release release = lock_is_released(lock(1), 2000);
  cr_assert_eq(release.waiters, 1u);
  cr_assert_eq(release.waited_ns, 500);
  wait_ends(second, 1100);
  cr_assert_eq(lock_is_released(lock(1), 3000).waiters, 0u);
}

// Threads wait for and release a few locks and conditions in every order; what is charged never exceeds what was waited.
Test(wait_table, nothing_is_left_and_nothing_invented_after_a_storm, .init = setup) {
  constexpr int kTimes = rounds(30'000);
  std::atomic<int64_t> clock{1'000'000};
  std::atomic<int64_t> waited{0};
  std::atomic<int64_t> charged{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < kTimes; ++i) {
        const uint64_t number = random() % 5;
        const bool condition = random() % 3 == 0;
        const void* object = condition ? lock(100 + number) : lock(number);
        const int64_t since = clock.fetch_add(1);
        const uint32_t entry = wait_begins(object, condition ? lock(number) : nullptr, since);
        if (random() % 2 == 0) charged += lock_is_released(lock(random() % 5), clock.fetch_add(1)).waited_ns;
        if (random() % 2 == 0)
          condition_is_signalled(lock(100 + random() % 5), 1 + random() % 3, ~0u, clock.fetch_add(1));
        if (entry != 0) wait_ends(entry, since);
        waited += clock.fetch_add(1) - since;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  cr_assert_leq(charged.load(), waited.load());
  cr_assert_gt(charged.load(), 0);
  for (auto& filter : g_wait_filter) cr_assert_eq(filter.load(), 0u);
}
