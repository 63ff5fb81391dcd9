#include "tools/prof/top_report.h"

#include <time.h>

#include <algorithm>
#include <map>
#include <set>

#include "tools/prof/profile_file.h"
#include "tools/prof/scaled_value.h"

namespace prof {
namespace {

using perftools::profiles::Location;
using perftools::profiles::Profile;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What a location is called: its functions, innermost first; the file it lies in where it has none.
std::vector<std::string> names_of(const Profile& profile, const Location& location) {
  std::vector<std::string> names;
  for (const auto& line : location.line()) {
    const std::string& name = text_at(profile, profile.function(static_cast<int>(line.function_id()) - 1).name());
    if (!name.empty()) names.push_back(name);
  }
  if (!names.empty()) return names;
  if (location.mapping_id() == 0) return {"<unknown>"};
  const std::string& file = text_at(profile, profile.mapping(static_cast<int>(location.mapping_id()) - 1).filename());
  return {file.empty() ? "<unknown>" : "[" + base_name(file) + "]"};
}

std::string padded(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string unpadded(const std::string& text) { return text.substr(text.find_first_not_of(' ')); }

// One unit for all lines: that of the smallest value, unless that is under a hundredth of the total.
std::string common_unit(const TopTable& table, const std::string& unit) {
  int64_t least = 0;
  for (const TopLine& line : table.lines) {
    const int64_t value = magnitude(line.flat != 0 ? line.flat : line.cum);
    if (value > 0 && (least == 0 || value < least)) least = value;
  }
  if (least == 0) least = table.total;
  const std::string least_unit = scale(least, unit, "auto").unit;
  const std::string total_unit = scale(table.total, unit, "auto").unit;
  std::string common = least_unit;
  if (least_unit != total_unit && least < table.total / 100) common = scale(least * 100, unit, "auto").unit;
  return common.empty() ? unit : common;
}

std::string time_line(int64_t unix_ns) {
  const time_t seconds = unix_ns / 1'000'000'000;
  struct tm when = {};
  localtime_r(&seconds, &when);
  char text[64];
  const size_t bytes = strftime(text, sizeof(text), "%b %e, %Y at %l:%M%p (%Z)", &when);
  std::string line(text, bytes);
  for (size_t twice; (twice = line.find("  ")) != std::string::npos;) line.erase(twice, 1);
  const size_t half = line.find("AM") != std::string::npos ? line.find("AM") : line.find("PM");
  if (half != std::string::npos) line.replace(half, 2, line[half] == 'A' ? "am" : "pm");
  return "Time: " + line + "\n";
}

int64_t total_of(const Profile& profile, int sample_type) {
  int64_t total = 0;
  for (const auto& sample : profile.sample()) total = wrapping_add(total, magnitude(sample.value(sample_type)));
  return total;
}

}  // namespace

TopTable top_table(const Profile& profile, const TopOptions& options) {
  std::map<std::string, TopLine> functions;
  std::vector<std::vector<std::string>> names;
  names.reserve(static_cast<size_t>(profile.location_size()));
  for (const auto& location : profile.location()) names.push_back(names_of(profile, location));
  TopTable table;
  table.total = total_of(profile, options.sample_type);
  for (const auto& sample : profile.sample()) {
    const int64_t value = sample.value(options.sample_type);
    std::set<std::string> seen_names;
    for (int i = 0; i < sample.location_id_size(); ++i) {
      const auto& functions_here = names[sample.location_id(i) - 1];
      for (size_t k = 0; k < functions_here.size(); ++k) {
        TopLine& line = functions[functions_here[k]];
        if (i == 0 && k == 0) line.flat = wrapping_add(line.flat, value);
        // A function that calls itself counts once.
        if (seen_names.insert(functions_here[k]).second) line.cum = wrapping_add(line.cum, value);
      }
    }
  }
  table.cutoff = static_cast<int64_t>(static_cast<double>(table.total) * options.min_share);
  for (auto& [name, line] : functions) {
    line.name = name;
    if (magnitude(line.cum) < table.cutoff) {
      ++table.dropped;
    } else if (line.cum != 0 || line.flat != 0) {
      table.lines.push_back(line);
    }
  }
  std::stable_sort(table.lines.begin(), table.lines.end(), [&](const TopLine& a, const TopLine& b) {
    const int64_t first = magnitude(options.by_cum ? a.cum : a.flat);
    const int64_t second = magnitude(options.by_cum ? b.cum : b.flat);
    return first != second ? first > second : a.name < b.name;
  });
  if (options.count > 0 && table.lines.size() > static_cast<size_t>(options.count)) {
    table.lines.resize(static_cast<size_t>(options.count));
  }
  return table;
}

std::string report_head(const Profile& profile, int sample_type) {
  std::string text;
  if (profile.mapping_size() > 0) {
    text += "File: " + base_name(text_at(profile, profile.mapping(0).filename())) + "\n";
    const std::string& build_id = text_at(profile, profile.mapping(0).build_id());
    if (!build_id.empty()) text += "Build ID: " + build_id + "\n";
  }
  for (const int64_t comment : profile.comment()) text += text_at(profile, comment) + "\n";
  text += "Type: " + text_at(profile, profile.sample_type(sample_type).type()) + "\n";
  if (profile.time_nanos() != 0) text += time_line(profile.time_nanos());
  const std::string& unit = text_at(profile, profile.sample_type(sample_type).unit());
  const int64_t total = total_of(profile, sample_type);
  if (profile.duration_nanos() != 0) {
    text += "Duration: " + scaled_label(profile.duration_nanos(), "nanoseconds", "auto") + ", Total samples = " +
            scaled_label(total, unit, "auto");
    if (unit == "nanoseconds") text += " (" + unpadded(percentage(total, profile.duration_nanos())) + ")";
    text += "\n";
  }
  return text;
}

std::string top_report(const Profile& profile, const TopOptions& options) {
  const TopTable table = top_table(profile, options);
  const std::string& unit = text_at(profile, profile.sample_type(options.sample_type).unit());
  const std::string common = common_unit(table, unit);
  const auto label = [&](int64_t value) { return scaled_label(value, unit, common); };
  int64_t shown = 0;
  for (const TopLine& line : table.lines) shown = wrapping_add(shown, line.flat);

  std::string text = report_head(profile, options.sample_type);
  text += "Showing nodes accounting for " + label(shown) + ", " + unpadded(percentage(shown, table.total)) + " of " +
          label(table.total) + " total\n";
  if (table.dropped > 0) {
    text += "Dropped " + std::to_string(table.dropped) + " nodes (cum <= " + label(table.cutoff) + ")\n";
  }
  text += "      flat  flat%   sum%        cum   cum%\n";
  int64_t sum = 0;
  for (const TopLine& line : table.lines) {
    sum = wrapping_add(sum, line.flat);
    text += padded(label(line.flat), 10) + " " + padded(percentage(line.flat, table.total), 6) + " " +
            padded(percentage(sum, table.total), 6) + " " + padded(label(line.cum), 10) + " " +
            padded(percentage(line.cum, table.total), 6) + "  " + line.name + "\n";
  }
  return text;
}

}  // namespace prof
