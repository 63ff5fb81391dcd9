#include "core/report/profile_encoder.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <protozero/pbf_writer.hpp>
#include <unordered_map>

namespace prof {
namespace {

// Field numbers of proto/profile.proto.
namespace field {
enum Profile : protozero::pbf_tag_type {
  kSampleType = 1,
  kSample = 2,
  kMapping = 3,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kTimeNanos = 9,
  kDurationNanos = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14
};
enum ValueType : protozero::pbf_tag_type { kType = 1, kUnit = 2 };
enum Sample : protozero::pbf_tag_type { kLocationId = 1, kValue = 2, kLabel = 3 };
enum Label : protozero::pbf_tag_type { kKey = 1, kStr = 2, kNum = 3, kNumUnit = 4 };
enum Mapping : protozero::pbf_tag_type {
  kMappingId = 1,
  kMemoryStart = 2,
  kMemoryLimit = 3,
  kFileOffset = 4,
  kMappingFilename = 5,
  kBuildId = 6,
  kHasFunctions = 7
};
enum Location : protozero::pbf_tag_type { kLocationOwnId = 1, kMappingOfLocation = 2, kAddress = 3, kLine = 4 };
enum Line : protozero::pbf_tag_type { kFunctionId = 1 };
enum Function : protozero::pbf_tag_type { kFunctionOwnId = 1, kName = 2, kSystemName = 3 };
}  // namespace field

class Strings {
 public:
  Strings() { index_of(""); }
  int64_t index_of(const std::string& text) {
    const auto [found, added] = indexes_.try_emplace(text, static_cast<int64_t>(order_.size()));
    if (added) order_.push_back(&found->first);
    return found->second;
  }
  void write(protozero::pbf_writer* profile) const {
    for (const std::string* text : order_) profile->add_string(field::kStringTable, valid_utf8(*text));
  }

 private:
  std::unordered_map<std::string, int64_t> indexes_;  // nodes stay where they are
  std::vector<const std::string*> order_;
};

void write_value_type(protozero::pbf_writer* profile, protozero::pbf_tag_type tag, const ValueType& value,
                      Strings* strings) {
  protozero::pbf_writer message(*profile, tag);
  message.add_int64(field::kType, strings->index_of(value.type));
  message.add_int64(field::kUnit, strings->index_of(value.unit));
}

void write_sample(protozero::pbf_writer* profile, const ProfileSample& sample, Strings* strings) {
  protozero::pbf_writer message(*profile, field::kSample);
  {
    protozero::packed_field_uint64 ids(message, field::kLocationId);
    for (const uint32_t location : sample.locations) ids.add_element(uint64_t{location} + 1);
  }
  message.add_packed_int64(field::kValue, sample.values.begin(), sample.values.end());
  for (const ProfileLabel& label : sample.labels) {
    protozero::pbf_writer text(message, field::kLabel);
    text.add_int64(field::kKey, strings->index_of(label.key));
    if (label.text.empty()) {
      text.add_int64(field::kNum, label.number);
      // pprof drops a label without anything in it.
      if (label.number == 0) text.add_int64(field::kNumUnit, strings->index_of(label.key));
    } else {
      text.add_int64(field::kStr, strings->index_of(label.text));
    }
  }
}

void write_mapping(protozero::pbf_writer* profile, uint64_t id, const ProfileMapping& mapping, Strings* strings) {
  protozero::pbf_writer message(*profile, field::kMapping);
  message.add_uint64(field::kMappingId, id);
  message.add_uint64(field::kMemoryStart, mapping.start);
  message.add_uint64(field::kMemoryLimit, mapping.limit);
  message.add_uint64(field::kFileOffset, mapping.file_offset);
  message.add_int64(field::kMappingFilename, strings->index_of(mapping.filename));
  message.add_int64(field::kBuildId, strings->index_of(mapping.build_id));
  if (mapping.has_functions) message.add_bool(field::kHasFunctions, true);
}

void write_location(protozero::pbf_writer* profile, uint64_t id, const ProfileLocation& location) {
  protozero::pbf_writer message(*profile, field::kLocation);
  message.add_uint64(field::kLocationOwnId, id);
  message.add_uint64(field::kMappingOfLocation, uint64_t{location.mapping} + 1);
  message.add_uint64(field::kAddress, location.address);
  if (!location.has_function) return;
  protozero::pbf_writer line(message, field::kLine);
  line.add_uint64(field::kFunctionId, uint64_t{location.function} + 1);
}

void write_function(protozero::pbf_writer* profile, uint64_t id, const ProfileFunction& function, Strings* strings) {
  protozero::pbf_writer message(*profile, field::kFunction);
  message.add_uint64(field::kFunctionOwnId, id);
  message.add_int64(field::kName, strings->index_of(function.name));
  message.add_int64(field::kSystemName, strings->index_of(function.system_name));
}

// Length of the valid UTF-8 sequence that text begins with, 0 if there is none (RFC 3629, section 4).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i, unsigned least = 0x80, unsigned most = 0xbf) {
    return byte(i) >= least && byte(i) <= most;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      valid += '?';
    } else {
      valid.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

std::string encode_profile_message(const Profile& profile) {
  std::string bytes;
  protozero::pbf_writer message(bytes);
  Strings strings;
  for (const ValueType& type : profile.sample_types) write_value_type(&message, field::kSampleType, type, &strings);
  for (const ProfileSample& sample : profile.samples) write_sample(&message, sample, &strings);
  for (size_t i = 0; i < profile.mappings.size(); ++i) write_mapping(&message, i + 1, profile.mappings[i], &strings);
  for (size_t i = 0; i < profile.locations.size(); ++i) write_location(&message, i + 1, profile.locations[i]);
  for (size_t i = 0; i < profile.functions.size(); ++i) write_function(&message, i + 1, profile.functions[i], &strings);
  message.add_int64(field::kTimeNanos, profile.time_unix_ns);
  message.add_int64(field::kDurationNanos, profile.duration_ns);
  write_value_type(&message, field::kPeriodType, profile.period_type, &strings);
  message.add_int64(field::kPeriod, profile.period);
  {
    protozero::packed_field_int64 comments(message, field::kComment);
    for (const std::string& comment : profile.comments) comments.add_element(strings.index_of(comment));
  }
  message.add_int64(field::kDefaultSampleType, strings.index_of(profile.default_sample_type));
  strings.write(&message);
  return bytes;
}

std::string encode_profile(const Profile& profile) {
  const std::string message = encode_profile_message(profile);
  // A window no larger than the message: zlib touches 256 KB of memory for its largest one. 9 to 15; 16 more asks for a gzip header.
  const int window = std::clamp(static_cast<int>(std::bit_width(message.size())), 9, 15);
  z_stream stream = {};
  // Level 1: a third of level 6's time for a tenth more bytes, on profiles.
  // None for one that is empty but for its program: to build the trees costs more than the half kilobyte is worth.
  constexpr size_t kWorthPacking = 1024;
  const int level = message.size() < kWorthPacking ? Z_NO_COMPRESSION : Z_BEST_SPEED;
  if (deflateInit2(&stream, level, Z_DEFLATED, window + 16, window - 7, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string packed(deflateBound(&stream, message.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(message.data()));
  stream.avail_in = static_cast<uInt>(message.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  packed.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return packed;
}

}  // namespace prof
