#include "core/record/left_ticks.h"

#include <criterion/criterion.h>

#include <atomic>
#include <thread>

using namespace prof;

Test(left_ticks, at_first_there_are_none) {
  LeftTicks left = {};
  LeftTick entries[kLeftPlaces];
  cr_assert_eq(read_left_ticks(left, entries), 0);
  cr_assert_eq(sum_left_ticks(left), 0);
}

Test(left_ticks, each_has_its_place_and_all_that_belongs_to_it) {
  LeftTicks left = {};
  leave_ticks(&left, {7, 8, 9, 2}, 3);
  leave_ticks(&left, {7, 8, 9, 2}, 1);
  leave_ticks(&left, {7, 8, 1, 2}, 2);
  LeftTick entries[kLeftPlaces];
  cr_assert_eq(read_left_ticks(left, entries), 2);
  const TickPlace& first = entries[0].place;
  cr_assert(first.stack == 7 && first.thread_name == 8 && first.labels == 9 && first.stretch == 2 &&
            entries[0].ticks == 4);
  cr_assert(entries[1].place.labels == 1 && entries[1].ticks == 2);
  cr_assert_eq(sum_left_ticks(left), 6);
}

Test(left_ticks, no_tick_is_lost_where_there_are_too_many_places) {
  LeftTicks left = {};
  constexpr uint32_t kPlaces = kLeftPlaces + 5;
  for (uint32_t stack = 1; stack <= kPlaces; ++stack) leave_ticks(&left, {stack, 0, 0, 1}, 1);
  LeftTick entries[kLeftPlaces];
  cr_assert_eq(read_left_ticks(left, entries), kLeftPlaces);
  for (unsigned i = 0; i < kLeftPlaces; ++i) cr_assert_eq(entries[i].place.stack, i + 1);
  cr_assert_eq(entries[kLeftPlaces - 1].ticks, 6);
  cr_assert_eq(sum_left_ticks(left), kPlaces);
}

Test(left_ticks, those_of_an_earlier_stretch_are_forgotten) {
  LeftTicks left = {};
  leave_ticks(&left, {7, 0, 0, 1}, 1'000'000);
  leave_ticks(&left, {8, 0, 0, 2}, 1);
  LeftTick entries[kLeftPlaces];
  cr_assert_eq(read_left_ticks(left, entries), 1);
  cr_assert(entries[0].place.stack == 8 && entries[0].ticks == 1);
}

Test(left_ticks, a_clock_that_begins_again_has_none) {
  LeftTicks left = {};
  leave_ticks(&left, {7, 8, 9, 2}, 5);
  forget_left_ticks(&left);
  LeftTick entries[kLeftPlaces];
  cr_assert_eq(read_left_ticks(left, entries), 0);
  leave_ticks(&left, {8, 0, 0, 0}, 1);
  cr_assert_eq(sum_left_ticks(left), 1, "the five before are forgotten");
}

// Each entry is one of its time, whole: what is written of a place is the same number everywhere.
Test(left_ticks, who_reads_beside_the_writer_gets_whole_entries) {
  LeftTicks left = {};
  std::atomic<bool> is_over{false};
  std::thread writer([&] {
    for (uint32_t i = 1; i <= 300'000; ++i) {
      leave_ticks(&left, {i, i, i, 1}, i);
      if (i % kLeftPlaces == 0) forget_left_ticks(&left);
    }
    is_over = true;
  });
  uint64_t torn = 0;
  while (!is_over) {
    LeftTick entries[kLeftPlaces];
    const unsigned count = read_left_ticks(left, entries);
    for (unsigned i = 0; i < count; ++i) {
      const TickPlace& place = entries[i].place;
      torn += place.stack != entries[i].ticks || place.thread_name != place.stack || place.labels != place.stack ||
              place.stack % kLeftPlaces != (i + 1) % kLeftPlaces;
    }
  }
  writer.join();
  cr_assert_eq(torn, 0);
}
