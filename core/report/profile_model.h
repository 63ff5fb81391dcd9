// A profile in the public format's terms, with texts in place of string indexes. Plain data. Made by profile_builder, read by
// profile_encoder. Ids are positions: the first location is index 0 here and id 1 in the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace prof {

struct ValueType {
  std::string type;
  std::string unit;
};

struct ProfileLabel {
  std::string key;
  std::string text;    // empty: the label is the number
  int64_t number = 0;  // consumers know the unit by the key: `bytes`
};

struct ProfileSample {
  std::vector<uint32_t> locations;  // indexes, leaf first
  std::vector<int64_t> values;      // one for each sample type
  std::vector<ProfileLabel> labels;
};

struct ProfileMapping {
  uint64_t start = 0, limit = 0;  // addresses
  uint64_t file_offset = 0;       // of start, bytes
  std::string filename;
  std::string build_id;  // hexadecimal
  bool has_functions = false;
};

struct ProfileLocation {
  uint32_t mapping = 0;  // index
  uint64_t address = 0;
  bool has_function = false;
  uint32_t function = 0;  // index
};

struct ProfileFunction {
  std::string name;
  std::string system_name;
};

struct Profile {
  std::vector<ValueType> sample_types;
  std::string default_sample_type;
  ValueType period_type;
  int64_t period = 0;
  int64_t time_unix_ns = 0;
  int64_t duration_ns = 0;
  std::vector<ProfileSample> samples;
  std::vector<ProfileMapping> mappings;
  std::vector<ProfileLocation> locations;
  std::vector<ProfileFunction> functions;
  std::vector<std::string> comments;
};

}  // namespace prof
