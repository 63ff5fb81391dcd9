#include "tools/prof/merged_profile.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "tools/prof/scaled_value.h"

namespace prof::reader {
namespace {

// Identity of a thing as bytes, for look-up. Lengths are part of it, so different lists of parts never look the same.
class Key {
 public:
  Key& add(uint64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
    return *this;
  }
  Key& add(std::string_view text) {
    add(text.size());
    bytes_.append(text);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

template <typename T>
class Interned {
 public:
  explicit Interned(std::vector<T>& values) : values_(values) {}

  // The index of the thing with this key; `value` becomes it, if there is none yet.
  uint32_t index_of(const Key& key, T value) {
    const auto [place, is_new] = indexes_.emplace(key.bytes(), static_cast<uint32_t>(values_.size()));
    if (is_new) values_.push_back(std::move(value));
    return place->second;
  }

 private:
  std::vector<T>& values_;
  std::unordered_map<std::string, uint32_t> indexes_;
};

bool all_zero(const Sample& sample) {
  return std::all_of(sample.values.begin(), sample.values.end(), [](int64_t value) { return value == 0; });
}

// The same file at another address, as a second run has it, is the same mapping.
Key key_of(const Mapping& mapping) {
  constexpr uint64_t kPage = 4096;
  const uint64_t size = mapping.limit - mapping.start + (kPage - 1);
  return Key()
      .add(size - size % kPage)
      .add(mapping.offset)
      .add(mapping.build_id.empty() ? mapping.file : mapping.build_id);
}

Key key_of(const Function& function) {
  return Key()
      .add(static_cast<uint64_t>(function.start_line))
      .add(function.name)
      .add(function.system_name)
      .add(function.filename);
}

class Merger {
 public:
  void add(const Profile& source) {
    source_ = &source;
    mapping_of_.assign(source.mappings.size(), kNone);
    function_of_.assign(source.functions.size(), kNone);
    location_of_.assign(source.locations.size(), kNone);
    if (made_.mappings.empty() && !source.mappings.empty()) mapping(0);  // the program stays first
    for (const Sample& sample : source.samples) {
      if (!all_zero(sample)) add_sample(sample);
    }
  }

  Profile take() { return std::move(made_); }

 private:
  uint32_t mapping(uint32_t index) {
    if (index == kNone) return kNone;
    uint32_t& known = mapping_of_[index];
    if (known == kNone) known = mappings_.index_of(key_of(source_->mappings[index]), source_->mappings[index]);
    return known;
  }

  uint32_t function(uint32_t index) {
    uint32_t& known = function_of_[index];
    if (known == kNone) known = functions_.index_of(key_of(source_->functions[index]), source_->functions[index]);
    return known;
  }

  uint32_t location(uint32_t index) {
    if (location_of_[index] != kNone) return location_of_[index];
    Location location = source_->locations[index];
    Key key;
    uint64_t offset = location.address;
    if (location.mapping != kNone) {
      offset -= source_->mappings[location.mapping].start;
      location.mapping = mapping(location.mapping);
      location.address = offset + made_.mappings[location.mapping].start;
    }
    key.add(location.mapping).add(offset).add(location.folded ? 1 : 0);
    for (Line& line : location.lines) {
      line.function = function(line.function);
      key.add(line.function).add(static_cast<uint64_t>(line.line));
    }
    return location_of_[index] = locations_.index_of(key, std::move(location));
  }

  void add_sample(const Sample& source) {
    Sample sample = source;
    Key key;
    key.add(sample.locations.size());
    for (uint32_t& at : sample.locations) {
      at = location(at);
      key.add(at);
    }
    key.add(sample.labels.size());
    for (const auto& [name, values] : sample.labels) {
      key.add(name).add(values.size());
      for (const std::string& value : values) key.add(value);
    }
    for (const auto& [name, label] : sample.numeric_labels) {
      key.add(name).add(label.values.size()).add(label.units.size());
      for (int64_t value : label.values) key.add(static_cast<uint64_t>(value));
      for (const std::string& unit : label.units) key.add(unit);
    }
    const size_t before = made_.samples.size();
    const uint32_t index = samples_.index_of(key, std::move(sample));
    if (made_.samples.size() > before) return;
    std::vector<int64_t>& sums = made_.samples[index].values;
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = wrapping_add(sums[i], source.values[i]);
  }

  const Profile* source_ = nullptr;
  Profile made_;
  Interned<Mapping> mappings_{made_.mappings};
  Interned<Function> functions_{made_.functions};
  Interned<Location> locations_{made_.locations};
  Interned<Sample> samples_{made_.samples};
  std::vector<uint32_t> mapping_of_, function_of_, location_of_;  // from the source's index to ours
};

void combine_headers(const std::vector<Profile>& sources, Profile& made) {
  const Profile& first = sources.front();
  made.sample_types = first.sample_types;
  made.period_type = first.period_type;
  made.drop_frames = first.drop_frames;
  made.keep_frames = first.keep_frames;
  std::unordered_set<std::string> seen;
  for (const Profile& source : sources) {
    if (made.time_nanos == 0 || source.time_nanos < made.time_nanos) made.time_nanos = source.time_nanos;
    made.duration_nanos = wrapping_add(made.duration_nanos, source.duration_nanos);
    if (made.period == 0 || made.period < source.period) made.period = source.period;
    if (made.default_sample_type.empty()) made.default_sample_type = source.default_sample_type;
    for (const std::string& comment : source.comments) {
      if (seen.insert(comment).second) made.comments.push_back(comment);
    }
  }
}

Profile merge(const std::vector<Profile>& sources) {
  Merger merger;
  for (const Profile& source : sources) merger.add(source);
  Profile made = merger.take();
  combine_headers(sources, made);
  return made;
}

std::string values_text(const Profile& profile) {
  std::string text;
  for (const ValueType& value : profile.sample_types) text += (text.empty() ? "" : " and ") + value.type;
  return text;
}

}  // namespace

std::optional<Profile> merged_profile(const std::vector<Profile>& sources, std::string& error) {
  const Profile& first = sources.front();
  for (const Profile& source : sources) {
    if (source.sample_types == first.sample_types && source.period_type == first.period_type) continue;
    error = "profiles of different kinds cannot be added (of " + values_text(first) + ", and of " +
            values_text(source) + "): name those of one kind, FOLDER/*.cpu.*";
    return std::nullopt;
  }
  Profile made = merge(sources);
  // What cancelled out must not keep locations alive either.
  if (std::any_of(made.samples.begin(), made.samples.end(), all_zero)) made = merge({std::move(made)});
  return made;
}

}  // namespace prof::reader
