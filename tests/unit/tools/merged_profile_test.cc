#include "tools/prof/merged_profile.h"

#include <criterion/criterion.h>

namespace {

using prof::reader::kNone;
using prof::reader::merged_profile;
using prof::reader::Profile;

// main calls work, at addresses that depend on where the program is loaded.
Profile profile_at(uint64_t start) {
  Profile profile;
  profile.sample_types = {{"samples", "count"}};
  profile.mappings = {{.start = start, .limit = start + 0x2000, .file = "/bin/app", .build_id = "ab"}};
  profile.functions = {{"unused", "", "a.c", 1}, {"work", "", "a.c", 2}, {"main", "", "a.c", 3}};
  profile.locations = {{0, start + 1, {{0, 0}}}, {0, start + 2, {{1, 5}}}, {0, start + 3, {{2, 9}}}};
  profile.samples = {{{1, 2}, {3}, {}, {}}, {{0}, {0}, {}, {}}};
  return profile;
}

}  // namespace

Test(merged_profile, leaves_out_what_no_sample_needs) {
  std::string error;
  const auto merged = merged_profile({profile_at(0x1000)}, error);
  cr_assert(merged);
  cr_assert_eq(merged->samples.size(), 1);
  cr_assert_eq(merged->functions.size(), 2);
  cr_assert_eq(merged->functions[0].name, "work");
  cr_assert_eq(merged->locations.size(), 2);
  cr_assert_eq(merged->samples[0].locations, (std::vector<uint32_t>{0, 1}));
}

Test(merged_profile, adds_runs_at_different_addresses) {
  std::string error;
  const auto merged = merged_profile({profile_at(0x1000), profile_at(0x555000)}, error);
  cr_assert(merged);
  cr_assert_eq(merged->mappings.size(), 1);
  cr_assert_eq(merged->locations[0].address, 0x1002);
  cr_assert_eq(merged->samples.size(), 1);
  cr_assert_eq(merged->samples[0].values[0], 6);
}

Test(merged_profile, keeps_labels_apart) {
  Profile profile = profile_at(0x1000);
  profile.samples.push_back(profile.samples[0]);
  profile.samples.back().labels["thread"] = {"a"};
  profile.samples.push_back(profile.samples[0]);
  profile.samples.back().numeric_labels["bytes"] = {{16}, {}};
  std::string error;
  cr_assert_eq(merged_profile({profile, profile}, error)->samples.size(), 3);
}

Test(merged_profile, forgets_what_cancels_out) {
  Profile profile = profile_at(0x1000);
  profile.samples.push_back(profile.samples[0]);
  profile.samples.back().values = {-3};
  std::string error;
  const auto merged = merged_profile({profile}, error);
  cr_assert(merged->samples.empty() && merged->locations.empty());
  cr_assert_eq(merged->mappings.size(), 1);
}

Test(merged_profile, refuses_other_kinds) {
  Profile heap = profile_at(0x1000);
  heap.sample_types = {{"space", "bytes"}};
  std::string error;
  cr_assert_not(merged_profile({profile_at(0x1000), heap}, error));
  cr_assert_not(error.empty());
}

Test(merged_profile, locations_may_be_in_no_mapping) {
  Profile profile = profile_at(0x1000);
  for (auto& location : profile.locations) location.mapping = kNone;
  profile.mappings.clear();
  std::string error;
  const auto merged = merged_profile({profile}, error);
  cr_assert_eq(merged->locations[0].mapping, kNone);
  cr_assert_eq(merged->locations[0].address, 0x1002);
}
