#include "core/serve/shown_text.h"

#include <criterion/criterion.h>

using namespace prof;

Test(shown_text, html_has_no_markup_of_others) {
  cr_assert_eq(html_text("<a href=\"x\" id='y'>&</a>"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;&lt;/a&gt;");
  cr_assert_eq(html_text("\xff\x01\n\u00e4"), "???\u00e4");
  cr_assert_eq(html_text(""), "");
}

Test(shown_text, shell_words_are_quoted_where_they_have_to_be) {
  cr_assert_eq(shell_word("/usr/bin/a-b_c.d"), "/usr/bin/a-b_c.d");
  cr_assert_eq(shell_word("http://localhost:6060/debug/pprof/profile?seconds=30"),
               "'http://localhost:6060/debug/pprof/profile?seconds=30'");
  cr_assert_eq(shell_word(""), "''");
  cr_assert_eq(shell_word("it's"), "'it'\\''s'");
  cr_assert_eq(shell_word("$(reboot)"), "'$(reboot)'");
  cr_assert_eq(shell_words({"a", "b c", ""}), "a 'b c' ''");
}

Test(shown_text, durations_have_two_units_at_most) {
  const std::pair<int64_t, const char*> cases[] = {{-5, "0 s"},
                                                   {0, "0 s"},
                                                   {300'000, "300 us"},
                                                   {10'000'000, "10 ms"},
                                                   {1'250'000'000, "1.25 s"},
                                                   {59'900'000'000, "59.9 s"},
                                                   {60'000'000'000, "1 min"},
                                                   {312'000'000'000, "5 min 12 s"},
                                                   {7'380'000'000'000, "2 h 3 min"},
                                                   {183'600'000'000'000, "2 d 3 h"}};
  for (const auto& [ns, text] : cases) cr_assert_eq(duration_text(ns), text, "%s", duration_text(ns).c_str());
}

Test(shown_text, times_are_utc) { cr_assert_eq(utc_text(1'700'000'000'999'999'999), "2023-11-14 22:13:20 UTC"); }

Test(shown_text, counts_are_in_groups) {
  cr_assert_eq(count_text(0), "0");
  cr_assert_eq(count_text(999), "999");
  cr_assert_eq(count_text(12'345), "12 345");
  cr_assert_eq(count_text(1'000'000), "1 000 000");
}

Test(shown_text, more_than_one_are_many) {
  cr_assert_eq(counted_text(0, "wait"), "0 waits");
  cr_assert_eq(counted_text(1, "wait"), "1 wait");
  cr_assert_eq(counted_text(1'000, "wait"), "1 000 waits");
}

Test(shown_text, bytes_have_three_digits) {
  cr_assert_eq(bytes_text(0), "0 B");
  cr_assert_eq(bytes_text(999), "999 B");
  cr_assert_eq(bytes_text(1'024), "1 KiB");
  cr_assert_eq(bytes_text(3'565'158), "3.4 MiB");
  cr_assert_eq(bytes_text(uint64_t{150} << 30), "150 GiB");
}
