#include "tools/prof/top_report.h"

#include <criterion/criterion.h>

namespace {

using prof::reader::Profile;
using prof::reader::top_report;
using prof::reader::TopOptions;

// leaf under main, ten times as often as main alone.
Profile profile() {
  Profile profile;
  profile.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  profile.mappings = {{.start = 0, .limit = 0x4000, .file = "/bin/app", .build_id = ""}};
  profile.functions = {{"leaf", "", "a.c", 1}, {"main", "", "a.c", 2}};
  profile.locations = {{0, 0x1000, {{0, 1}}}, {0, 0x2000, {{1, 1}}}};
  profile.samples = {{{0, 1}, {10, 100'000'000}, {}, {}}, {{1}, {1, 10'000'000}, {}, {}}};
  return profile;
}

}  // namespace

Test(top_report, text) {
  std::string error;
  cr_assert_eq(top_report(profile(), {}, error).value(),
               "File: app\nType: cpu\n"
               "Showing nodes accounting for 110ms, 100% of 110ms total\n"
               "      flat  flat%   sum%        cum   cum%\n"
               "     100ms 90.91% 90.91%      100ms 90.91%  leaf\n"
               "      10ms  9.09%   100%      110ms   100%  main\n");
}

Test(top_report, by_cum_and_number_of_rows) {
  std::string error;
  const std::string text = top_report(profile(), {.by_cum = true, .max_rows = 1, .sample_index = ""}, error).value();
  cr_assert(text.find("Showing top 1 nodes out of 2\n") != std::string::npos);
  cr_assert(text.ends_with("      10ms  9.09%  9.09%      110ms   100%  main\n"));
}

Test(top_report, sample_types) {
  std::string error;
  cr_assert(top_report(profile(), {.sample_index = "samples"}, error)->find("Type: samples\n") != std::string::npos);
  cr_assert(top_report(profile(), {.sample_index = "0"}, error)->find("Type: samples\n") != std::string::npos);
  for (const char* wrong : {"2", "-1", "wall", "0x"}) {
    cr_assert_not(top_report(profile(), {.sample_index = wrong}, error));
    cr_assert(error.ends_with("there are: samples cpu"));
  }
  Profile other_default = profile();
  other_default.default_sample_type = "samples";
  cr_assert(top_report(other_default, {}, error)->find("Type: samples\n") != std::string::npos);
  cr_assert_not(top_report(Profile(), {}, error));
}
