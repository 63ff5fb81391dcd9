#include "tools/prof/raw_report.h"

#include <array>
#include <cinttypes>
#include <cstdio>

#include "tools/prof/report_header.h"
#include "tools/prof/scaled_value.h"

namespace prof::reader {
namespace {

constexpr const char* kLabelIndent = "                ";
constexpr const char* kNextLineIndent = "             ";

template <typename... Numbers>
std::string format(const char* pattern, Numbers... numbers) {
  std::array<char, 100> text = {};  // every pattern here is a few numbers
  std::snprintf(text.data(), text.size(), pattern, numbers...);
  return text.data();
}

std::string time_with_fraction(int64_t unix_nanos) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t nanos = (unix_nanos % kSecond + kSecond) % kSecond;
  std::string fraction = format(".%09" PRId64, nanos);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (fraction == ".") fraction.clear();
  return local_time(unix_nanos, "%Y-%m-%d %H:%M:%S") + fraction + local_time(unix_nanos, " %z %Z");
}

std::string header_text(const Profile& profile) {
  std::string text;
  for (const std::string& comment : profile.comments) text += "Comment: " + comment + "\n";
  text += "PeriodType: " + profile.period_type.type + " " + profile.period_type.unit + "\n";
  text += "Period: " + std::to_string(profile.period) + "\n";
  if (profile.time_nanos != 0) text += "Time: " + time_with_fraction(profile.time_nanos) + "\n";
  if (profile.duration_nanos != 0) {
    text += "Duration: " + scaled_label(profile.duration_nanos, "nanoseconds", "auto") + "\n";
  }
  text += "Samples:\n";
  bool first = true;
  for (const ValueType& type : profile.sample_types) {
    if (!first) text += " ";
    first = false;
    text += type.type + "/" + type.unit + (type.type == profile.default_sample_type ? "[dflt]" : "");
  }
  return text + "\n";
}

template <typename Labels, typename Show>
void append_labels(const Labels& labels, Show show, std::string& text) {
  if (labels.empty()) return;
  text += kLabelIndent;
  bool first_label = true;
  for (const auto& [key, label] : labels) {
    if (!first_label) text += " ";
    first_label = false;
    text += key + ":[" + show(label) + "]";
  }
  text += "\n";
}

std::string shown_strings(const std::vector<std::string>& values) {
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : " ") + values[i];
  return text;
}

std::string shown_numbers(const NumericLabel& label) {
  std::string text;
  for (size_t i = 0; i < label.values.size(); ++i) {
    text += (i == 0 ? "" : " ") + std::to_string(label.values[i]);
    if (!label.units.empty()) text += " " + label.units[i];
  }
  return text;
}

void append_sample(const Sample& sample, std::string& text) {
  for (int64_t value : sample.values) text += format(" %10" PRId64, value);
  text += ": ";
  for (uint32_t location : sample.locations) text += std::to_string(location + 1) + " ";
  text += "\n";
  append_labels(sample.labels, shown_strings, text);
  append_labels(sample.numeric_labels, shown_numbers, text);
}

void append_location(const Profile& profile, size_t index, std::string& text) {
  const Location& location = profile.locations[index];
  text += format("%6zu: 0x%" PRIx64 " ", index + 1, location.address);
  if (location.mapping != kNone) text += "M=" + std::to_string(location.mapping + 1) + " ";
  if (location.folded) text += "[F] ";
  if (location.lines.empty()) text += "\n";
  for (size_t i = 0; i < location.lines.size(); ++i) {
    const Line& line = location.lines[i];
    const Function& function = profile.functions[line.function];
    if (i > 0) text += kNextLineIndent;
    text += function.name + " " + function.filename + ":" + std::to_string(line.line) +
            " s=" + std::to_string(function.start_line);
    if (function.name != function.system_name) text += "(" + function.system_name + ")";
    text += "\n";
  }
}

void append_mapping(const Mapping& mapping, size_t index, std::string& text) {
  text += format("%zu: 0x%" PRIx64 "/0x%" PRIx64 "/0x%" PRIx64 " ", index + 1, mapping.start, mapping.limit,
                 mapping.offset);
  text += mapping.file + " " + mapping.build_id + " ";
  if (mapping.has_functions) text += "[FN]";
  if (mapping.has_filenames) text += "[FL]";
  if (mapping.has_line_numbers) text += "[LN]";
  if (mapping.has_inline_frames) text += "[IN]";
  text += "\n";
}

}  // namespace

std::string raw_report(const Profile& profile) {
  std::string text = header_text(profile);
  for (const Sample& sample : profile.samples) append_sample(sample, text);
  text += "Locations\n";
  for (size_t i = 0; i < profile.locations.size(); ++i) append_location(profile, i, text);
  text += "Mappings\n";
  for (size_t i = 0; i < profile.mappings.size(); ++i) append_mapping(profile.mappings[i], i, text);
  return text;
}

}  // namespace prof::reader
