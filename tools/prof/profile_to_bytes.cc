#include "tools/prof/profile_to_bytes.h"

#include <zlib.h>

#include <algorithm>
#include <unordered_map>

#include "profile.pb.h"

namespace prof::reader {
namespace {

namespace proto = perftools::profiles;

class Encoder {
 public:
  explicit Encoder(const Profile& source) : source_(source) { text(""); }

  std::string encode() {
    for (const ValueType& type : source_.sample_types) value_type(type, made_.add_sample_type());
    for (const Sample& sample : source_.samples) add_sample(sample);
    for (const Mapping& mapping : source_.mappings) add_mapping(mapping);
    for (const Location& location : source_.locations) add_location(location);
    for (const Function& function : source_.functions) add_function(function);
    for (const std::string& comment : source_.comments) made_.add_comment(text(comment));
    made_.set_drop_frames(text(source_.drop_frames));
    made_.set_keep_frames(text(source_.keep_frames));
    made_.set_time_nanos(source_.time_nanos);
    made_.set_duration_nanos(source_.duration_nanos);
    value_type(source_.period_type, made_.mutable_period_type());
    made_.set_period(source_.period);
    made_.set_default_sample_type(text(source_.default_sample_type));
    return made_.SerializeAsString();
  }

 private:
  int64_t text(const std::string& string) {
    const auto [known, is_new] = strings_.try_emplace(string, made_.string_table_size());
    if (is_new) made_.add_string_table(string);
    return known->second;
  }

  void value_type(const ValueType& from, proto::ValueType* to) {
    to->set_type(text(from.type));
    to->set_unit(text(from.unit));
  }

  void add_sample(const Sample& from) {
    proto::Sample* to = made_.add_sample();
    for (const uint32_t location : from.locations) to->add_location_id(uint64_t{location} + 1);
    to->mutable_value()->Add(from.values.begin(), from.values.end());
    for (const auto& [key, values] : from.labels) {
      for (const std::string& value : values) {
        proto::Label* label = to->add_label();
        label->set_key(text(key));
        label->set_str(text(value));
      }
    }
    for (const auto& [key, numbers] : from.numeric_labels) {
      for (size_t i = 0; i < numbers.values.size(); ++i) {
        proto::Label* label = to->add_label();
        label->set_key(text(key));
        label->set_num(numbers.values[i]);
        if (!numbers.units.empty()) label->set_num_unit(text(numbers.units[i]));
      }
    }
  }

  void add_mapping(const Mapping& from) {
    const auto index = static_cast<uint32_t>(made_.mapping_size());
    bool functions = true;
    bool files = true;
    bool lines = true;
    for (const Location& location : source_.locations) {
      if (location.mapping != index) continue;
      functions &= !location.lines.empty();
      for (const Line& line : location.lines) {
        files &= !source_.functions[line.function].filename.empty();
        lines &= line.line != 0;
      }
    }
    proto::Mapping* to = made_.add_mapping();
    to->set_id(uint64_t{index} + 1);
    to->set_memory_start(from.start);
    to->set_memory_limit(from.limit);
    to->set_file_offset(from.offset);
    to->set_filename(text(from.file));
    to->set_build_id(text(from.build_id));
    to->set_has_functions(from.has_functions && functions);
    to->set_has_filenames(from.has_filenames && functions && files);
    to->set_has_line_numbers(from.has_line_numbers && functions && lines);
    to->set_has_inline_frames(from.has_inline_frames);
  }

  void add_location(const Location& from) {
    proto::Location* to = made_.add_location();
    to->set_id(static_cast<uint64_t>(made_.location_size()));
    to->set_mapping_id(from.mapping == kNone ? 0 : uint64_t{from.mapping} + 1);
    to->set_address(from.address);
    to->set_is_folded(from.folded);
    for (const Line& line : from.lines) {
      proto::Line* added = to->add_line();
      added->set_function_id(uint64_t{line.function} + 1);
      added->set_line(line.line);
    }
  }

  void add_function(const Function& from) {
    proto::Function* to = made_.add_function();
    to->set_id(static_cast<uint64_t>(made_.function_size()));
    to->set_name(text(from.name));
    to->set_system_name(text(from.system_name));
    to->set_filename(text(from.filename));
    to->set_start_line(from.start_line);
  }

  const Profile& source_;
  proto::Profile made_;
  std::unordered_map<std::string, int64_t> strings_;
};

std::string gzipped(const std::string& bytes) {
  constexpr int kGzip = 16 + MAX_WBITS;
  constexpr int kUsualMemory = 8;
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kUsualMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace

std::string bytes_of_profile(const Profile& profile) { return gzipped(Encoder(profile).encode()); }

}  // namespace prof::reader
