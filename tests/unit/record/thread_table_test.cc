#include "core/record/thread_table.h"

#include <criterion/criterion.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "core/record/record.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
}

Test(thread_table, a_late_signal_does_not_reach_the_slots_next_thread, .init = setup) {
  ThreadSlot* slot = take_thread_slot();
  cr_assert_not_null(slot);
  const uint64_t value = signal_value_of(*slot);
  cr_assert_eq(slot_of_signal_value(value), slot);
  give_back_thread_slot(slot);
  cr_assert_null(slot_of_signal_value(value));
  cr_assert_eq(take_thread_slot(), slot, "a free slot is used again");
  cr_assert_null(slot_of_signal_value(value));
}

Test(thread_table, foreign_values_are_no_slots, .init = setup) {
  for (const uint64_t value : {uint64_t{0}, ~uint64_t{0}, uint64_t{0x7fff'1234'5678}, uint64_t{0xffff'ffff}}) {
    cr_assert_null(slot_of_signal_value(value));
  }
}

Test(thread_table, many_threads_never_share_a_slot, .init = setup) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < rounds(20'000); ++i) {
        ThreadSlot* slots[3];
        for (ThreadSlot*& slot : slots) {
          slot = take_thread_slot();
          cr_assert_not_null(slot);
          cr_assert_eq(slot->tid.exchange(1), 0, "somebody else has it");
        }
        for (ThreadSlot* slot : slots) give_back_thread_slot(slot);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  unsigned slots = 0;
  for_each_thread_slot([&](ThreadSlot*) { ++slots; });
  cr_assert_leq(slots, 12u, "as many as were taken at once");
}

// One registers while two others, who have found it by its number, adopt it: it keeps its own slot and no other.
Test(thread_table, a_thread_that_is_adopted_while_it_registers_has_one_slot, .init = setup) {
  ThreadSlot* own = nullptr;
  std::atomic<int> round{0};
  std::atomic<int> done{0};
  constexpr int kThreads = 3;
  const int last = rounds(20'000);
  const auto each_round = [&](auto&& act) {
    for (int i = 1; i <= last; ++i) {
      while (round.load() < i) std::this_thread::yield();
      act(i);
      done.fetch_add(1);
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(each_round, [&](int tid) {
    own = take_thread_slot();
    own->registered = 1;
    own->tid.store(tid);
    drop_adopted(own, tid, [](ThreadSlot* other) { give_back_thread_slot(other); });
  });
  for (int adopter = 1; adopter < kThreads; ++adopter)
    threads.emplace_back(each_round, [&](int tid) { adopt_thread(tid); });
  for (int i = 1; i <= last; ++i) {
    round.store(i);
    while (done.load() < i * kThreads) std::this_thread::yield();
    for_each_thread_slot([&](ThreadSlot* slot) {
      cr_assert_eq(slot->tid.load() != 0, slot == own, "round %d", i);
      if (slot == own) give_back_thread_slot(slot);
    });
  }
  for (auto& thread : threads) thread.join();
  cr_assert_eq(region_root<ThreadTable>(Root::threads)->adopted.load(), 0u);
}
