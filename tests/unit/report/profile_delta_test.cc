#include "core/report/profile_delta.h"

#include <criterion/criterion.h>

#include <map>

using namespace prof;

namespace {

// A frame: code of a file at an address, or a text.
struct Frame {
  uint64_t address = 0;
  std::string name;  // empty: code without a name
  std::string file = "/bin/app";
};

uint32_t location_of(Profile* p, const Frame& frame) {
  for (uint32_t i = 0; i < p->locations.size(); ++i) {
    const ProfileLocation& location = p->locations[i];
    if (location.address == frame.address && p->mappings[location.mapping].filename == frame.file) return i;
  }
  const uint64_t start = frame.address < 4096 ? 1 : frame.address & ~uint64_t{4095};
  uint32_t mapping = 0;
  while (mapping < p->mappings.size() &&
         (p->mappings[mapping].filename != frame.file || p->mappings[mapping].start != start)) {
    ++mapping;
  }
  if (mapping == p->mappings.size()) p->mappings.push_back({start, start | 4095, 0, frame.file, "", true});
  ProfileLocation location = {mapping, frame.address, !frame.name.empty(), 0};
  if (location.has_function) {
    location.function = static_cast<uint32_t>(p->functions.size());
    p->functions.push_back({frame.name, frame.name});
  } else {
    p->mappings[mapping].has_functions = false;
  }
  p->locations.push_back(location);
  return static_cast<uint32_t>(p->locations.size() - 1);
}

Profile profile_at(int64_t time) {
  Profile p;
  p.sample_types = {{"inuse_objects", "count"}, {"inuse_space", "bytes"}};
  p.time_unix_ns = time;
  p.comments = {"of " + std::to_string(time)};
  p.mappings = {{0x10'0000, 0x10'1000, 0, "/bin/main", "", false}};
  return p;
}

void add(Profile* p, const std::vector<Frame>& frames, std::vector<int64_t> values, int64_t bytes = 0) {
  ProfileSample sample;
  for (const Frame& frame : frames) sample.locations.push_back(location_of(p, frame));
  sample.values = std::move(values);
  if (bytes != 0) sample.labels.push_back({"bytes", "", bytes});
  p->samples.push_back(sample);
}

// Values by the names or addresses of the stack's frames, and the label.
std::map<std::string, std::vector<int64_t>> contents(const Profile& p) {
  std::map<std::string, std::vector<int64_t>> all;
  for (const ProfileSample& sample : p.samples) {
    std::string stack;
    for (const uint32_t index : sample.locations) {
      cr_assert_lt(index, p.locations.size());
      const ProfileLocation& location = p.locations[index];
      cr_assert_lt(location.mapping, p.mappings.size());
      const ProfileMapping& mapping = p.mappings[location.mapping];
      cr_assert(location.address >= mapping.start && location.address < mapping.limit);
      if (location.has_function) cr_assert_lt(location.function, p.functions.size());
      cr_assert(location.has_function || !mapping.has_functions);
      stack += (location.has_function ? p.functions[location.function].name : std::to_string(location.address)) + " ";
    }
    for (const ProfileLabel& label : sample.labels) stack += label.key + "=" + std::to_string(label.number);
    cr_assert(all.emplace(stack, sample.values).second, "twice: %s", stack.c_str());
  }
  return all;
}

const Frame kF = {0x20'0010, "f"};
const Frame kG = {0x20'0020, "g"};
const Frame kH = {0x30'0010, "h", "/lib/other.so"};

}  // namespace

Test(profile_delta, is_after_minus_before_by_stack_and_label) {
  Profile before = profile_at(1'000);
  add(&before, {kF, kG}, {2, 20}, 10);
  add(&before, {kF, kG}, {1, 30}, 30);
  Profile after = profile_at(5'000);
  add(&after, {kG}, {7, 70});
  add(&after, {kF, kG}, {5, 50}, 10);
  add(&after, {kF, kG}, {1, 30}, 30);
  const Profile delta = profile_delta(before, after);
  const std::map<std::string, std::vector<int64_t>> wanted = {{"g ", {7, 70}}, {"f g bytes=10", {3, 30}}};
  cr_assert(contents(delta) == wanted);
  cr_assert_eq(delta.time_unix_ns, 5'000);
  cr_assert_eq(delta.duration_ns, 4'000);
  cr_assert_eq(delta.sample_types.size(), 2u);
  cr_assert(delta.comments == after.comments);
}

Test(profile_delta, what_became_less_is_negative) {
  Profile before = profile_at(1);
  add(&before, {kF}, {3, 30});
  Profile after = profile_at(2);
  add(&after, {kF}, {1, 10});
  cr_assert(contents(profile_delta(before, after)).at("f ") == std::vector<int64_t>({-2, -20}));
}

Test(profile_delta, one_value_that_changed_keeps_the_sample) {
  Profile before = profile_at(1);
  add(&before, {kF}, {3, 30});
  Profile after = profile_at(2);
  add(&after, {kF}, {3, 40});
  cr_assert(contents(profile_delta(before, after)).at("f ") == std::vector<int64_t>({0, 10}));
}

Test(profile_delta, a_stack_that_is_gone_is_there_with_its_file) {
  Profile before = profile_at(1);
  add(&before, {kH, kF}, {1, 10});
  add(&before, {{0x30'0020, "", "/lib/other.so"}}, {4, 40});
  Profile after = profile_at(2);
  add(&after, {kG}, {1, 10});
  const Profile delta = profile_delta(before, after);
  const std::map<std::string, std::vector<int64_t>> wanted = {
      {"g ", {1, 10}}, {"h f ", {-1, -10}}, {std::to_string(0x30'0020) + " ", {-4, -40}}};
  cr_assert(contents(delta) == wanted);
  cr_assert_eq(delta.mappings.size(), 3u, "the main program's, and two that are used");
}

Test(profile_delta, what_no_sample_needs_is_left_out) {
  Profile before = profile_at(1);
  add(&before, {kF, kG}, {1, 10});
  Profile after = profile_at(2);
  add(&after, {kF, kG}, {1, 10});
  add(&after, {kH}, {1, 10});
  const Profile delta = profile_delta(before, after);
  cr_assert_eq(delta.samples.size(), 1u);
  cr_assert_eq(delta.locations.size(), 1u);
  cr_assert_eq(delta.functions.size(), 1u);
  cr_assert_eq(delta.mappings.size(), 2u);
  cr_assert_eq(delta.mappings[0].filename, "/bin/main", "the main program's stays");
  cr_assert(contents(delta).count("h ") == 1);
  const Profile none = profile_delta(after, after);
  cr_assert(none.samples.empty() && none.locations.empty() && none.functions.empty());
  cr_assert_eq(none.mappings.size(), 1u);
}

Test(profile_delta, texts_are_told_by_what_they_say) {
  Profile before = profile_at(1);
  add(&before, {kF, {1, "[truncated: deep]", "[libprof]"}}, {1, 10});
  add(&before, {kF, {2, "[no stack]", "[libprof]"}}, {2, 20});
  Profile after = profile_at(2);
  add(&after, {kF, {1, "[no stack]", "[libprof]"}}, {2, 20});
  const Profile delta = profile_delta(before, after);
  const std::map<std::string, std::vector<int64_t>> wanted = {{"f [truncated: deep] ", {-1, -10}}};
  cr_assert(contents(delta) == wanted);
}

Test(profile_delta, code_without_a_file_is_told_by_its_address) {
  Profile before = profile_at(1);
  add(&before, {{0x50'0010, "jit", "[anonymous code]"}}, {1, 10});
  Profile after = profile_at(2);
  add(&after, {{0x50'0010, "", "[not mapped]"}}, {3, 30});
  const Profile delta = profile_delta(before, after);
  cr_assert_eq(delta.samples.size(), 1u);
  cr_assert(delta.samples[0].values == std::vector<int64_t>({2, 20}));
}

Test(profile_delta, the_clock_may_have_been_set_back) {
  cr_assert_eq(profile_delta(profile_at(9), profile_at(2)).duration_ns, 0);
}
