#include "core/report/profile_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "core/record/byte_sampler.h"
#include "core/report/module_map.h"

using namespace prof;

extern "C" __attribute__((noinline)) int named_for_profile_text(int n) { return n + 1; }

namespace {

const uint64_t kHere = reinterpret_cast<uint64_t>(named_for_profile_text);

// Two frames: one in this program, 2 bytes behind a function's begin, and a text.
Profile profile_of(std::vector<std::string> types) {
  const ModuleMap modules = ModuleMap::of_process(getpid());
  const Module& main = modules.modules()[static_cast<size_t>(modules.main())];
  Profile p;
  for (auto& type : types) p.sample_types.push_back({type, type.ends_with("space") ? "bytes" : "count"});
  p.period = 1;
  p.mappings = {{main.start, main.end, main.file_offset, main.path, "abc1", false},
                {1, 4096, 0, "[libprof]", "", true}};
  p.functions = {{"named", "named"}, {"[truncated: a reason]", "[truncated: a reason]"}};
  p.locations = {{0, kHere + 2, true, 0}, {1, 1, true, 1}, {0, kHere + 3, false, 0}};
  p.comments = {"program: /bin/test, pid 7"};
  return p;
}

std::string text_of(const Profile& profile, ProfileKind kind) {
  Symbolizer symbolizer(getpid());
  return profile_text(profile, kind, &symbolizer);
}

std::string hex(uint64_t number) {
  std::ostringstream text;
  text << "0x" << std::hex << number;
  return text.str();
}

// What google/pprof reads of it: samples by their addresses, each with its values.
using Samples = std::map<std::string, std::vector<int64_t>>;
Samples read_by_pprof(const std::string& text, std::string* all) {
  char path[] = "/tmp/profile_text_XXXXXX";
  const int fd = mkstemp(path);
  cr_assert_geq(fd, 0);
  cr_assert_eq(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(fd);
  const std::string command = std::string("go tool pprof -symbolize=none -raw ") + path + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  size_t bytes;
  while ((bytes = fread(buffer, 1, sizeof(buffer), pipe)) > 0) all->append(buffer, bytes);
  const int status = pclose(pipe);
  unlink(path);
  cr_assert_eq(status, 0, "%s\n%s", text.c_str(), all->c_str());
  // "     1: 0x401000 M=1" are the locations, "    3   30: 1 2" the samples.
  std::map<std::string, std::string> addresses;
  Samples samples;
  std::istringstream lines(*all);
  static const std::regex kLocation("^ +(\\d+): (0x[0-9a-f]+) .*");
  static const std::regex kSample("^ +([-0-9 ]+): ([0-9 ]+)$");
  std::vector<std::pair<std::string, std::vector<int64_t>>> found;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kSample)) {
      std::istringstream numbers(match[1].str());
      std::vector<int64_t> values;
      for (int64_t value; numbers >> value;) values.push_back(value);
      found.emplace_back(match[2].str(), values);
    } else if (std::regex_match(line, match, kLocation)) {
      addresses[match[1].str()] = match[2].str();
    }
  }
  for (const auto& [ids, values] : found) {
    std::istringstream words(ids);
    std::string stack;
    for (std::string id; words >> id;) stack += addresses.at(id) + " ";
    samples[stack] = values;
  }
  return samples;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

Test(profile_text, heap_is_as_sampled_and_the_parser_scales_it) {
  constexpr int64_t kRate = 524'288;
  Profile p = profile_of({"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"});
  p.period = kRate;
  const auto blocks = [](int64_t samples, uint64_t size) {
    return std::llround(static_cast<double>(samples) * blocks_of_sample(size, kRate));
  };
  p.samples = {
      {{0, 1}, {blocks(3, 100), blocks(3, 100) * 100, blocks(1, 100), blocks(1, 100) * 100}, {{"bytes", "", 100}}},
      {{0}, {blocks(2, 900'000), 0, blocks(1, 900'000), 0}, {{"bytes", "", 900'000}}}};
  const std::string text = text_of(p, ProfileKind::heap);
  cr_assert(text.starts_with("heap profile: 2: 900100 [5: 1800300] @ heap/1048576\n1: 900000 [2: 1800000] @ 0x"),
            "the largest first: %s", text.c_str());
  cr_assert(has_line(text, "1: 100 [3: 300] @ " + hex(kHere + 3) + " 0x2"), "%s", text.c_str());
  std::string all;
  const Samples samples = read_by_pprof(text, &all);
  cr_assert_eq(samples.size(), 2u, "%s", all.c_str());
  const std::vector<int64_t>& small = samples.at(hex(kHere + 2) + " 0x1 ");
  cr_assert_eq(small.size(), 4u);
  cr_assert_leq(std::abs(small[0] - p.samples[0].values[0]), 1);
  cr_assert_leq(std::abs(small[2] - p.samples[0].values[2]), 1);
  cr_assert(all.find("Period: 524288") != std::string::npos, "%s", all.c_str());
}

Test(profile_text, heap_with_blocks_that_stand_for_themselves_is_as_scaled) {
  Profile p = profile_of({"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"});
  p.period = 524'288;
  p.samples = {{{0}, {3, 12'288, 1, 4'096}, {{"bytes", "", 4'096}}}};
  const std::string text = text_of(p, ProfileKind::heap);
  cr_assert(text.starts_with("heap profile: 1: 4096 [3: 12288] @ heap/2\n1: 4096 [3: 12288] @ 0x"), "%s", text.c_str());
  std::string all;
  cr_assert(read_by_pprof(text, &all).begin()->second == std::vector<int64_t>({3, 12'288, 1, 4'096}), "%s",
            all.c_str());
}

Test(profile_text, allocs_have_the_most_allocated_first) {
  Profile p = profile_of({"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"});
  p.samples = {{{0}, {1, 10, 1, 10}, {{"bytes", "", 10}}}, {{1}, {9, 90, 0, 0}, {{"bytes", "", 10}}}};
  cr_assert(text_of(p, ProfileKind::heap).find("\n1: 10 [1: 10]") < text_of(p, ProfileKind::heap).find("\n0: 0 ["));
  cr_assert(text_of(p, ProfileKind::allocs).find("\n1: 10 [1: 10]") > text_of(p, ProfileKind::allocs).find("\n0: 0 ["));
}

Test(profile_text, contentions_are_delay_and_count) {
  Profile p = profile_of({"contentions", "delay"});
  p.samples = {{{0}, {2, 300}, {{"state", "mutex"}}}, {{0, 1}, {5, 900}, {}}};
  const std::string block = text_of(p, ProfileKind::block);
  cr_assert(block.starts_with("--- contention:\ncycles/second=1000000000\n900 5 @ 0x"), "%s", block.c_str());
  cr_assert(has_line(block, "300 2 @ " + hex(kHere + 3) + "\n# labels: {\"state\":\"mutex\"}"));
  const std::string mutex = text_of(p, ProfileKind::mutex);
  cr_assert(mutex.starts_with("--- mutex:\ncycles/second=1000000000\nsampling period=1\n900 5 @ 0x"));
  for (const std::string& text : {block, mutex}) {
    std::string all;
    const Samples samples = read_by_pprof(text, &all);
    cr_assert(samples.at(hex(kHere + 2) + " ") == std::vector<int64_t>({2, 300}), "%s", all.c_str());
    cr_assert(samples.at(hex(kHere + 2) + " 0x1 ") == std::vector<int64_t>({5, 900}), "%s", all.c_str());
  }
}

Test(profile_text, threads_of_one_stack_are_one_record) {
  Profile p = profile_of({"goroutine"});
  p.samples = {{{1}, {1}, {{"tid", "", 10}, {"state", "running"}}},
               {{0}, {1}, {{"thread", "a \"b\""}, {"tid", "", 11}, {"state", "mutex"}}},
               {{0}, {1}, {{"thread", "a \"b\""}, {"tid", "", 12}, {"state", "mutex"}}}};
  const std::string text = text_of(p, ProfileKind::stacks);
  cr_assert(text.starts_with("goroutine profile: total 3\n2 @ " + hex(kHere + 3) +
                             "\n# labels: {\"state\":\"mutex\", \"thread\":\"a \\\"b\\\"\"}\n#\t"),
            "%s", text.c_str());
  std::string all;
  const Samples samples = read_by_pprof(text, &all);
  cr_assert(samples.at(hex(kHere + 2) + " ") == std::vector<int64_t>({2}), "%s", all.c_str());
  cr_assert(samples.at("0x1 ") == std::vector<int64_t>({1}));
}

Test(profile_text, every_kind_without_samples_can_be_read) {
  const std::pair<ProfileKind, std::vector<std::string>> kinds[] = {
      {ProfileKind::heap, {"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"}},
      {ProfileKind::block, {"contentions", "delay"}},
      {ProfileKind::mutex, {"contentions", "delay"}},
      {ProfileKind::threadcreate, {"threadcreate"}},
      {ProfileKind::stacks, {"goroutine"}},
      {ProfileKind::wall, {"samples", "wall"}}};
  for (const auto& [kind, types] : kinds) {
    std::string all;
    cr_assert(read_by_pprof(text_of(profile_of(types), kind), &all).empty(), "%s", all.c_str());
  }
  cr_assert(
      text_of(profile_of({"threadcreate"}), ProfileKind::threadcreate).starts_with("threadcreate profile: total 0\n"));
}

Test(profile_text, frames_have_name_place_and_file) {
  Profile p = profile_of({"threadcreate"});
  p.samples = {{{0, 2, 1}, {1}, {}}};
  const std::string text = text_of(p, ProfileKind::threadcreate);
  const std::string& file = p.mappings[0].filename;
  const std::string offset = hex(kHere + 3 - p.mappings[0].start + p.mappings[0].file_offset);
  const std::regex wanted("#\\t" + hex(kHere + 2) + "\\tnamed\\+0x2\\t+" + file + "\\n#\\t" + hex(kHere + 3) +
                          "\\t\\[profile_text_test\\]\\+" + offset + "\\t+" + file +
                          "\\n#\\t0x1\\t\\[truncated: a reason\\]\\n\\n");
  cr_assert(std::regex_search(text, wanted), "%s", text.c_str());
}

Test(profile_text, ends_with_comments_and_the_files_that_the_code_is_in) {
  Profile p = profile_of({"threadcreate"});
  p.samples = {{{0}, {1}, {}}};
  p.mappings.push_back({0x1000, 0x2000, 0, "/with a/space", "", false});
  const std::string text = text_of(p, ProfileKind::threadcreate);
  cr_assert(has_line(text, "# program: /bin/test, pid 7"));
  cr_assert_eq(text.find("space"), std::string::npos, "it could not be read");
  std::string all;
  read_by_pprof(text, &all);
  cr_assert(all.find(p.mappings[0].filename + " abc1") != std::string::npos, "%s", all.c_str());
}

Test(profile_text, a_name_ends_no_line) {
  Profile p = profile_of({"threadcreate"});
  p.functions[0].name = "a\n7 @ 0x1\nb\xff\t";
  p.comments = {"one\ntwo"};
  p.samples = {{{0}, {1}, {{"thread", "x\ny"}}}};
  const std::string text = text_of(p, ProfileKind::threadcreate);
  cr_assert(text.find("\ta?7 @ 0x1?b??+0x2\t") != std::string::npos, "%s", text.c_str());
  cr_assert(has_line(text, "# one?two") && has_line(text, "# labels: {\"thread\":\"x?y\"}"));
  std::string all;
  cr_assert_eq(read_by_pprof(text, &all).size(), 1u);
}
