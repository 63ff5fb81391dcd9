// A profile as the reports see it: plain values with every reference resolved to an index that is known to be valid.
//
// Made by profile_from_bytes() or merged_profile(). The names are those of the file format (proto/profile.proto), where
// each field is explained.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace prof::reader {

inline constexpr uint32_t kNone = UINT32_MAX;

struct ValueType {
  std::string type, unit;
  bool operator==(const ValueType&) const = default;
};

struct Mapping {
  uint64_t start = 0, limit = 0, offset = 0;
  std::string file, build_id;
  bool has_functions = false, has_filenames = false, has_line_numbers = false, has_inline_frames = false;
};

struct Function {
  std::string name, system_name, filename;
  int64_t start_line = 0;
};

struct Line {
  uint32_t function = kNone;  // always valid once read: index into Profile::functions
  int64_t line = 0;
};

struct Location {
  uint32_t mapping = kNone;  // kNone: in no mapping
  uint64_t address = 0;
  std::vector<Line> lines;  // innermost inlined function first; empty where nothing is known
  bool folded = false;
};

struct NumericLabel {
  std::vector<int64_t> values;
  std::vector<std::string> units;  // none at all, or as many as values
};

struct Sample {
  std::vector<uint32_t> locations;  // leaf first
  std::vector<int64_t> values;      // as many as Profile::sample_types
  std::map<std::string, std::vector<std::string>> labels;
  std::map<std::string, NumericLabel> numeric_labels;
};

struct Profile {
  std::vector<ValueType> sample_types;
  std::vector<Sample> samples;
  std::vector<Mapping> mappings;  // the first is the program
  std::vector<Location> locations;
  std::vector<Function> functions;
  std::vector<std::string> comments;
  ValueType period_type;
  int64_t period = 0, time_nanos = 0, duration_nanos = 0;
  std::string default_sample_type;
  std::string drop_frames, keep_frames;
};

}  // namespace prof::reader
