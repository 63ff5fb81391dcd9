#include "core/record/shown_tick.h"

#include <criterion/criterion.h>

#include <cmath>

using namespace prof;

Test(shown_tick, before_the_first_there_is_none) {
  ShownTick shown = {};
  CountedTick tick;
  cr_assert_not(read_shown_tick(shown, &tick));
}

Test(shown_tick, the_only_one_is_drawn_with_all_that_it_has) {
  ShownTick shown = {};
  show_tick(&shown, {7, 8, 9, 2}, 1, 1);
  CountedTick tick;
  cr_assert(read_shown_tick(shown, &tick));
  cr_assert(tick.stack == 7 && tick.thread_name == 8 && tick.labels == 9 && tick.stretch == 2);
}

Test(shown_tick, ticks_of_an_earlier_stretch_are_forgotten) {
  ShownTick shown = {};
  show_tick(&shown, {7, 0, 0, 1}, 1'000'000, 1);
  show_tick(&shown, {8, 0, 0, 2}, 1, 1);
  CountedTick tick;
  cr_assert(read_shown_tick(shown, &tick));
  cr_assert_eq(tick.stack, 8);
}

Test(shown_tick, a_clock_that_begins_again_has_none) {
  ShownTick shown = {};
  show_tick(&shown, {7, 8, 9, 2}, 5, 1);
  forget_shown_tick(&shown);
  CountedTick tick;
  cr_assert_not(read_shown_tick(shown, &tick));
  show_tick(&shown, {8, 0, 0, 0}, 1, 1);
  cr_assert(read_shown_tick(shown, &tick));
  cr_assert_eq(tick.stack, 8, "the five before are forgotten");
}

// Four stacks with 1, 2, 3 and 4 ticks of ten: 10 000 threads draw them in proportion. Fixed seeds; the bound is four standard deviations.
Test(shown_tick, each_tick_is_as_likely_as_any_other) {
  constexpr int kThreads = 10'000;
  int drawn[5] = {};
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    ShownTick shown = {};
    const uint32_t seed = (thread + 1) * 0x9e37'79b1u;
    show_tick(&shown, {1, 0, 0, 1}, 1, seed);
    for (int i = 0; i < 2; ++i) show_tick(&shown, {2, 0, 0, 1}, 1, seed);
    show_tick(&shown, {3, 0, 0, 1}, 3, seed);  // one signal that stood for three
    for (int i = 0; i < 4; ++i) show_tick(&shown, {4, 0, 0, 1}, 1, seed);
    CountedTick tick;
    cr_assert(read_shown_tick(shown, &tick));
    ++drawn[tick.stack];
  }
  for (int stack = 1; stack <= 4; ++stack) {
    const double share = stack / 10.0;
    const double deviation = std::sqrt(kThreads * share * (1 - share));
    cr_assert(std::abs(drawn[stack] - kThreads * share) < 4 * deviation, "stack %d: %d", stack, drawn[stack]);
  }
}
