#include "core/report/profile_delta.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/base/address.h"

namespace prof {
namespace {

// Of a frame: the file and the address, or the text.
using FrameKey = std::pair<std::string_view, uint64_t>;
using LabelKey = std::tuple<std::string_view, std::string_view, int64_t>;

FrameKey key_of(const Profile& profile, const ProfileLocation& location) {
  const std::string_view file = profile.mappings[location.mapping].filename;
  if (location.address < kFirstCodeAddress && location.has_function) {
    return {profile.functions[location.function].name, 0};
  }
  // Code without a file is anonymous memory in one profile and not mapped any more in the next.
  return {file.starts_with('[') ? std::string_view() : file, location.address};
}

std::vector<LabelKey> key_of(const std::vector<ProfileLabel>& labels) {
  std::vector<LabelKey> keys;
  keys.reserve(labels.size());
  for (const ProfileLabel& label : labels) keys.emplace_back(label.key, label.text, label.number);
  std::sort(keys.begin(), keys.end());
  return keys;
}

// Puts locations of another profile into a profile, each where it is not there yet.
class Adder {
 public:
  explicit Adder(Profile* profile) : profile_(profile) {
    for (uint32_t i = 0; i < profile->functions.size(); ++i) functions_[names_of(profile->functions[i])] = i;
    for (uint32_t i = 0; i < profile->locations.size(); ++i) {
      const ProfileLocation& location = profile->locations[i];
      locations_[owned(key_of(*profile, location))] = i;
      if (location.address < kFirstCodeAddress) last_text_ = std::max(last_text_, location.address);
    }
  }

  uint32_t location_of(const Profile& other, const ProfileLocation& location) {
    const auto [found, is_new] =
        locations_.try_emplace(owned(key_of(other, location)), static_cast<uint32_t>(profile_->locations.size()));
    if (!is_new) return found->second;
    ProfileLocation own = location;
    // Another text may be at its address here.
    if (location.address < kFirstCodeAddress) own.address = ++last_text_;
    own.mapping = mapping_of(other.mappings[location.mapping], own.address);
    if (location.has_function) {
      own.function = function_of(other.functions[location.function]);
    } else {
      profile_->mappings[own.mapping].has_functions = false;
    }
    profile_->locations.push_back(own);
    return found->second;
  }

 private:
  static std::pair<std::string, uint64_t> owned(const FrameKey& key) { return {std::string(key.first), key.second}; }
  static std::pair<std::string, std::string> names_of(const ProfileFunction& function) {
    return {function.system_name, function.name};
  }
  uint32_t mapping_of(const ProfileMapping& mapping, uint64_t address) {
    const auto same = [&](const ProfileMapping& own) {
      return own.filename == mapping.filename && address >= own.start && address < own.limit;
    };
    const auto found = std::find_if(profile_->mappings.begin(), profile_->mappings.end(), same);
    const auto index = static_cast<uint32_t>(found - profile_->mappings.begin());
    if (found == profile_->mappings.end()) profile_->mappings.push_back(mapping);
    return index;
  }
  uint32_t function_of(const ProfileFunction& function) {
    const auto [found, is_new] =
        functions_.try_emplace(names_of(function), static_cast<uint32_t>(profile_->functions.size()));
    if (is_new) profile_->functions.push_back(function);
    return found->second;
  }

  Profile* const profile_;
  std::map<std::pair<std::string, uint64_t>, uint32_t> locations_;
  std::map<std::pair<std::string, std::string>, uint32_t> functions_;
  uint64_t last_text_ = 0;
};

// Leaves out the entries of a table that are not used, and tells where the others are now.
template <typename Entry>
std::vector<uint32_t> keep_used(std::vector<Entry>* table, const std::vector<bool>& used) {
  std::vector<uint32_t> places(table->size(), 0);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < table->size(); ++i) {
    if (!used[i]) continue;
    places[i] = kept;
    if (kept != i) (*table)[kept] = std::move((*table)[i]);
    ++kept;
  }
  table->resize(kept);
  return places;
}

void leave_out_unused(Profile* profile) {
  std::vector<bool> locations(profile->locations.size(), false);
  for (const ProfileSample& sample : profile->samples) {
    for (const uint32_t location : sample.locations) locations[location] = true;
  }
  const std::vector<uint32_t> location_places = keep_used(&profile->locations, locations);
  std::vector<bool> functions(profile->functions.size(), false);
  std::vector<bool> mappings(profile->mappings.size(), false);
  if (!mappings.empty()) mappings[0] = true;
  for (const ProfileLocation& location : profile->locations) {
    mappings[location.mapping] = true;
    if (location.has_function) functions[location.function] = true;
  }
  const std::vector<uint32_t> function_places = keep_used(&profile->functions, functions);
  const std::vector<uint32_t> mapping_places = keep_used(&profile->mappings, mappings);
  for (ProfileLocation& location : profile->locations) {
    location.mapping = mapping_places[location.mapping];
    if (location.has_function) location.function = function_places[location.function];
  }
  for (ProfileSample& sample : profile->samples) {
    for (uint32_t& location : sample.locations) location = location_places[location];
  }
}

}  // namespace

Profile profile_delta(const Profile& before, Profile after) {
  // The same stacks in terms of one table: of frames by `after`'s locations, with those that only `before` has behind them.
  Adder adder(&after);
  std::vector<uint32_t> places;
  places.reserve(before.locations.size());
  for (const ProfileLocation& location : before.locations) places.push_back(adder.location_of(before, location));
  // A location that is in the table twice is one, too.
  std::vector<uint32_t> own_places;
  own_places.reserve(after.locations.size());
  for (size_t i = 0; i < after.locations.size(); ++i) {
    own_places.push_back(adder.location_of(after, after.locations[i]));
  }

  using SampleKey = std::pair<std::vector<uint32_t>, std::vector<LabelKey>>;
  const std::vector<ProfileSample> samples_after = std::move(after.samples);
  std::map<SampleKey, size_t> index_of;
  after.samples.clear();
  const auto add = [&](const ProfileSample& sample, const std::vector<uint32_t>& place_of, int64_t sign) {
    std::vector<uint32_t> stack;
    stack.reserve(sample.locations.size());
    for (const uint32_t location : sample.locations) stack.push_back(place_of[location]);
    const auto [found, is_new] = index_of.try_emplace({stack, key_of(sample.labels)}, after.samples.size());
    if (is_new) {
      after.samples.push_back({std::move(stack), std::vector<int64_t>(after.sample_types.size(), 0), sample.labels});
    }
    std::vector<int64_t>& values = after.samples[found->second].values;
    for (size_t i = 0; i < std::min(values.size(), sample.values.size()); ++i) values[i] += sign * sample.values[i];
  };
  for (const ProfileSample& sample : samples_after) add(sample, own_places, 1);
  for (const ProfileSample& sample : before.samples) add(sample, places, -1);
  std::erase_if(after.samples, [](const ProfileSample& sample) {
    return std::all_of(sample.values.begin(), sample.values.end(), [](int64_t value) { return value == 0; });
  });
  leave_out_unused(&after);
  after.duration_ns = std::max<int64_t>(after.time_unix_ns - before.time_unix_ns, 0);
  return after;
}

}  // namespace prof
