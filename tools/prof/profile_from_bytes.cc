#include "tools/prof/profile_from_bytes.h"

#include <google/protobuf/stubs/logging.h>

#include <unordered_map>
#include <utility>

#include "profile.pb.h"

namespace prof::reader {
namespace {

namespace proto = perftools::profiles;

using IndexOfId = std::unordered_map<uint64_t, uint32_t>;

// Turns one message into one Profile. The first fault found is kept; what is made after it is thrown away.
class Decoder {
 public:
  explicit Decoder(const proto::Profile& source) : source_(source) {}

  std::optional<Profile> decode(std::string& error) {
    if (source_.string_table_size() == 0 || !source_.string_table(0).empty()) {
      fail("its string table does not begin with an empty string");
    } else {
      header();
      mappings();
      functions();
      locations();
      samples();
    }
    if (fault_.empty()) return std::move(made_);
    error = "not a valid profile: " + fault_;
    return std::nullopt;
  }

 private:
  void fail(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
  }

  std::string text(int64_t number) {
    if (number >= 0 && number < source_.string_table_size()) return source_.string_table(static_cast<int>(number));
    fail("string " + std::to_string(number) + " does not exist");
    return {};
  }

  void add_id(IndexOfId& ids, uint64_t id, const char* what) {
    const auto index = static_cast<uint32_t>(ids.size());
    if (id == 0) fail(std::string("a ") + what + " has id 0");
    if (!ids.emplace(id, index).second) fail(std::string("two ") + what + "s have id " + std::to_string(id));
  }

  ValueType value_type(const proto::ValueType& from) { return {text(from.type()), text(from.unit())}; }

  void header() {
    for (const auto& type : source_.sample_type()) made_.sample_types.push_back(value_type(type));
    for (int64_t comment : source_.comment()) made_.comments.push_back(text(comment));
    made_.period_type = value_type(source_.period_type());
    made_.period = source_.period();
    made_.time_nanos = source_.time_nanos();
    made_.duration_nanos = source_.duration_nanos();
    made_.default_sample_type = text(source_.default_sample_type());
    made_.drop_frames = text(source_.drop_frames());
    made_.keep_frames = text(source_.keep_frames());
  }

  void mappings() {
    for (const auto& from : source_.mapping()) {
      add_id(mapping_ids_, from.id(), "mapping");
      made_.mappings.push_back({from.memory_start(), from.memory_limit(), from.file_offset(), text(from.filename()),
                                text(from.build_id()), from.has_functions(), from.has_filenames(),
                                from.has_line_numbers(), from.has_inline_frames()});
    }
  }

  void functions() {
    for (const auto& from : source_.function()) {
      add_id(function_ids_, from.id(), "function");
      made_.functions.push_back(
          {text(from.name()), text(from.system_name()), text(from.filename()), from.start_line()});
    }
  }

  void locations() {
    for (const auto& from : source_.location()) {
      add_id(location_ids_, from.id(), "location");
      Location location;
      // Other readers accept a mapping that does not exist as no mapping: so do we.
      const auto mapping = mapping_ids_.find(from.mapping_id());
      if (mapping != mapping_ids_.end()) location.mapping = mapping->second;
      location.address = from.address();
      location.folded = from.is_folded();
      for (const auto& line : from.line()) {
        const auto function = function_ids_.find(line.function_id());
        if (function == function_ids_.end()) {
          fail("location " + std::to_string(from.id()) + " names function " + std::to_string(line.function_id()) +
               ", which does not exist");
          return;
        }
        location.lines.push_back({function->second, line.line()});
      }
      made_.locations.push_back(std::move(location));
    }
  }

  void labels(const proto::Sample& from, Sample& sample) {
    for (const auto& label : from.label()) {
      const std::string key = text(label.key());
      if (label.str() != 0) {
        sample.labels[key].push_back(text(label.str()));
      } else if (label.num() != 0 || label.num_unit() != 0) {
        NumericLabel& numeric = sample.numeric_labels[key];
        if (label.num_unit() != 0) {
          numeric.units.resize(numeric.values.size());
          numeric.units.push_back(text(label.num_unit()));
        }
        numeric.values.push_back(label.num());
      }
    }
    for (auto& [key, numeric] : sample.numeric_labels) {
      if (!numeric.units.empty()) numeric.units.resize(numeric.values.size());
    }
  }

  void samples() {
    for (const auto& from : source_.sample()) {
      if (from.value_size() != source_.sample_type_size()) {
        fail("a sample has " + std::to_string(from.value_size()) + " values for " +
             std::to_string(source_.sample_type_size()) + " sample types");
        return;
      }
      Sample sample;
      sample.values.assign(from.value().begin(), from.value().end());
      for (uint64_t id : from.location_id()) {
        const auto location = location_ids_.find(id);
        if (location == location_ids_.end()) {
          fail("a sample names location " + std::to_string(id) + ", which does not exist");
          return;
        }
        sample.locations.push_back(location->second);
      }
      labels(from, sample);
      made_.samples.push_back(std::move(sample));
    }
  }

  const proto::Profile& source_;
  Profile made_;
  std::string fault_;
  IndexOfId mapping_ids_, function_ids_, location_ids_;
};

}  // namespace

std::optional<Profile> profile_from_bytes(const std::string& bytes, std::string& error) {
  // Else the library writes lines of its own about bad input.
  google::protobuf::SetLogHandler(nullptr);
  proto::Profile message;
  if (!message.ParseFromString(bytes)) {
    error = "not a profile: the data is of another format, damaged or cut short";
    return std::nullopt;
  }
  return Decoder(message).decode(error);
}

}  // namespace prof::reader
