#include "tools/prof/raw_report.h"

#include <charconv>

#include "tools/prof/profile_file.h"

namespace prof {
namespace {

using perftools::profiles::Profile;

std::string hex(uint64_t number) {
  char digits[20];
  return "0x" + std::string(digits, std::to_chars(digits, digits + sizeof(digits), number, 16).ptr);
}

void add_samples(const Profile& profile, std::string* text) {
  *text += "Samples:\n";
  for (const auto& type : profile.sample_type()) {
    *text += text_at(profile, type.type()) + "/" + text_at(profile, type.unit());
    *text += type.type() == profile.default_sample_type() ? "[dflt] " : " ";
  }
  *text += "\n";
  for (const auto& sample : profile.sample()) {
    for (const int64_t value : sample.value()) *text += " " + std::to_string(value);
    *text += ":";
    for (const uint64_t location : sample.location_id()) *text += " " + std::to_string(location);
    *text += "\n";
    for (const auto& label : sample.label()) {
      *text += "    " + text_at(profile, label.key()) + ":";
      *text += label.str() != 0 ? "[" + text_at(profile, label.str()) + "]"
                                : "[" + std::to_string(label.num()) + " " + text_at(profile, label.num_unit()) + "]";
      *text += "\n";
    }
  }
}

void add_locations(const Profile& profile, std::string* text) {
  *text += "Locations\n";
  for (const auto& location : profile.location()) {
    *text += std::to_string(location.id()) + ": " + hex(location.address()) + " M=" + std::to_string(location.mapping_id());
    for (const auto& line : location.line()) {
      const auto& function = profile.function(static_cast<int>(line.function_id()) - 1);
      *text += " " + text_at(profile, function.name()) + " " + text_at(profile, function.filename()) + ":" +
               std::to_string(line.line());
      if (function.system_name() != function.name()) *text += " (" + text_at(profile, function.system_name()) + ")";
    }
    *text += "\n";
  }
}

void add_mappings(const Profile& profile, std::string* text) {
  *text += "Mappings\n";
  for (const auto& mapping : profile.mapping()) {
    *text += std::to_string(mapping.id()) + ": " + hex(mapping.memory_start()) + "/" + hex(mapping.memory_limit()) + "/" +
             hex(mapping.file_offset()) + " " + text_at(profile, mapping.filename()) + " " +
             text_at(profile, mapping.build_id());
    if (mapping.has_functions()) *text += " [FN]";
    if (mapping.has_filenames()) *text += " [FL]";
    if (mapping.has_line_numbers()) *text += " [LN]";
    if (mapping.has_inline_frames()) *text += " [IN]";
    *text += "\n";
  }
}

}  // namespace

std::string raw_report(const Profile& profile) {
  std::string text;
  for (const int64_t comment : profile.comment()) text += "Comment: " + text_at(profile, comment) + "\n";
  text += "PeriodType: " + text_at(profile, profile.period_type().type()) + " " +
          text_at(profile, profile.period_type().unit()) + "\n";
  text += "Period: " + std::to_string(profile.period()) + "\n";
  text += "Time: " + std::to_string(profile.time_nanos()) + " ns since 1970\n";
  text += "Duration: " + std::to_string(profile.duration_nanos()) + " ns\n";
  add_samples(profile, &text);
  add_locations(profile, &text);
  add_mappings(profile, &text);
  return text;
}

}  // namespace prof
