#include "tools/prof/report_header.h"

#include <array>
#include <cmath>
#include <ctime>

#include "tools/prof/frame_table.h"
#include "tools/prof/scaled_value.h"

namespace prof::reader {
namespace {

// "(98.70%)": of the duration, where the value is a time.
std::string share_of_duration(const Profile& profile, size_t value_index, int64_t total) {
  constexpr double kTooLarge = 9.2e18;
  const ScaledValue nanos = scale(total, profile.sample_types[value_index].unit, "nanoseconds");
  if (nanos.unit != "ns" || nanos.value == 0 || std::fabs(nanos.value) > kTooLarge) return "";
  return "(" + percentage(static_cast<int64_t>(nanos.value), profile.duration_nanos) + ")";
}

}  // namespace

std::string local_time(int64_t unix_nanos, const char* pattern) {
  constexpr int64_t kSecond = 1'000'000'000;
  const time_t seconds = unix_nanos / kSecond - (unix_nanos % kSecond < 0 ? 1 : 0);
  tm parts = {};
  std::array<char, 100> text = {};
  if (localtime_r(&seconds, &parts) == nullptr) return "";
  return {text.data(), strftime(text.data(), text.size(), pattern, &parts)};
}

std::string report_header(const Profile& profile, size_t value_index, int64_t total, const std::string& unit) {
  const ValueType& type = profile.sample_types[value_index];
  std::string text;
  if (!profile.mappings.empty()) {
    const Mapping& program = profile.mappings.front();
    if (!program.file.empty()) text += "File: " + base_name(program.file) + "\n";
    if (!program.build_id.empty()) text += "Build ID: " + program.build_id + "\n";
  }
  for (const std::string& comment : profile.comments) {
    if (!comment.starts_with('#')) text += comment + "\n";
  }
  if (!type.type.empty()) text += "Type: " + type.type + "\n";
  if (profile.time_nanos != 0) {
    text += "Time: " + local_time(profile.time_nanos, "%b %-d, %Y at %-I:%M%P (%Z)") + "\n";
  }
  if (profile.duration_nanos != 0) {
    text += "Duration: " + scaled_label(profile.duration_nanos, "nanoseconds", "auto") +
            ", Total samples = " + scaled_label(total, type.unit, unit) + " " +
            share_of_duration(profile, value_index, total) + "\n";
  }
  return text;
}

}  // namespace prof::reader
