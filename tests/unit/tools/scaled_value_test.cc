#include "tools/prof/scaled_value.h"

#include <criterion/criterion.h>

using prof::percentage;
using prof::scaled_label;

Test(scaled_value, times) {
  cr_assert_eq(scaled_label(0, "nanoseconds", "auto"), "0");
  cr_assert_eq(scaled_label(999, "nanoseconds", "auto"), "999ns");
  cr_assert_eq(scaled_label(10'000'000, "nanoseconds", "auto"), "10ms");
  cr_assert_eq(scaled_label(1'500'000'000, "ns", "auto"), "1.50s");
  cr_assert_eq(scaled_label(7'200, "seconds", "auto"), "2hrs");
  cr_assert_eq(scaled_label(10'000'000, "nanoseconds", "s"), "0.01s");
  cr_assert_eq(scaled_label(-10'000'000, "nanoseconds", "auto"), "-10ms");
}

Test(scaled_value, sizes_and_counts) {
  cr_assert_eq(scaled_label(4 * 1024 * 1024 + 512 * 1024, "bytes", "auto"), "4.50MB");
  cr_assert_eq(scaled_label(17, "count", "auto"), "17");
  cr_assert_eq(scaled_label(17, "count", "count"), "17");
  cr_assert_eq(scaled_label(17, "things", "things"), "17things");
}

Test(scaled_value, the_most_negative_value) {
  cr_assert_not(scaled_label(INT64_MIN, "nanoseconds", "auto").empty());
  cr_assert_eq(prof::magnitude(INT64_MIN), INT64_MIN);
  cr_assert_eq(prof::wrapping_add(INT64_MAX, 1), INT64_MIN);
}

Test(scaled_value, percentages) {
  cr_assert_eq(percentage(1, 1), "  100%");
  cr_assert_eq(percentage(1, 8), "12.50%");
  cr_assert_eq(percentage(-1, 8), "12.50%");
  cr_assert_eq(percentage(1, 1000), "  0.1%");
  cr_assert_eq(percentage(5, 0), "    0%");
}
