#include "core/serve/metrics_page.h"

#include <criterion/criterion.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/unit/serve/status_test.h"

using namespace prof;

namespace {

// Series with their values, of a text that follows the format to the letter.
std::map<std::string, double> parse(const std::string& text) {
  static const std::regex kHelp(R"(# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
  static const std::regex kType(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge))");
  static const std::regex kSample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)((?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})?) (\d+(?:\.\d+)?))");
  cr_assert(text.ends_with('\n'));
  std::map<std::string, double> series;
  std::set<std::string> families;
  std::string helped;
  std::string family;
  std::string type;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) {
      helped = match[1];
      cr_assert(families.insert(helped).second, "twice: %s", line.c_str());
      cr_assert(helped.starts_with("libprof_"));
    } else if (std::regex_match(line, match, kType)) {
      cr_assert_eq(match[1].str(), helped, "%s", line.c_str());
      family = helped;
      type = match[2];
      cr_assert_eq(type == "counter", family.ends_with("_total"), "%s", line.c_str());
    } else {
      cr_assert(std::regex_match(line, match, kSample), "%s", line.c_str());
      cr_assert_eq(match[1].str(), family, "not under its head: %s", line.c_str());
      cr_assert(series.emplace(match[1].str() + match[2].str(), std::stod(match[3])).second, "twice: %s", line.c_str());
    }
  }
  return series;
}

}  // namespace

Test(metrics_page, follows_the_format) {
  const auto series = parse(metrics_page(test_status()));
  cr_assert_eq(series.at("libprof_samples_total{kind=\"cpu\"}"), 7);
  cr_assert_eq(series.at("libprof_samples_total{kind=\"heap\"}"), 6);
  cr_assert_eq(series.at("libprof_sampled_seconds_total{kind=\"block\"}"), 0.008);
  cr_assert_eq(series.at("libprof_losses_total{cause=\"no_scratch\"}"), 2);
  cr_assert_eq(series.at("libprof_lost_cpu_samples_total{cause=\"no_scratch\"}"), 5);
  cr_assert_eq(series.at("libprof_truncated_stacks_total{cause=\"stack_too_deep\"}"), 12);
  cr_assert_eq(series.at("libprof_threads"), 3);
  cr_assert_eq(series.at("libprof_server_cpu_seconds_total"), 1.5);
  cr_assert_eq(series.at("libprof_recording{kind=\"mutex\"}"), 1);
}

Test(metrics_page, every_series_is_there_from_the_first_scrape_on) {
  Snapshot nothing;
  const auto at_first = parse(metrics_page(test_status(nothing, Recording::off)));
  for (const auto& [name, value] : parse(metrics_page(test_status()))) {
    cr_assert_eq(at_first.count(name), 1u, "%s", name.c_str());
  }
}

Test(metrics_page, no_counter_is_less_than_before) {
  const auto before = parse(metrics_page(test_status()));
  Snapshot snapshot = test_snapshot();
  snapshot.cpu.samples.push_back(test_ticks("c", 1));
  snapshot.events.insert(snapshot.events.begin(), test_event(EventKind::block, 0.3, 1));
  snapshot.heap.samples[0].allocated += 1;
  for (const auto& [name, value] : parse(metrics_page(test_status(snapshot)))) {
    if (name.find("_total") != std::string::npos) cr_assert_geq(value, before.at(name), "%s", name.c_str());
  }
}

Test(metrics_page, any_name_is_a_label) {
  Snapshot snapshot = test_snapshot();
  snapshot.heap.foreign_malloc = "/a\\b\"c\nd\xff";
  const auto series = parse(metrics_page(test_status(snapshot)));
  cr_assert_eq(series.at("libprof_foreign_malloc{file=\"/a\\\\b\\\"c\\nd?\"}"), 1);
}
