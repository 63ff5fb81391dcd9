#include "core/report/profile_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "core/record/byte_sampler.h"
#include "core/report/frame_text.h"
#include "core/report/profile_encoder.h"

namespace prof {
namespace {

// Positions of a heap profile's values.
enum HeapValue { kAllocObjects, kAllocSpace, kInuseObjects, kInuseSpace };

std::string hex(uint64_t number) {
  char text[24];
  snprintf(text, sizeof(text), "%#lx", static_cast<unsigned long>(number));
  return text;
}

// In a line of a text: what would end the line, or is no UTF-8, is a '?'.
std::string one_line(std::string_view text) {
  std::string line = valid_utf8(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  }
  return line;
}

std::string quoted(std::string_view text) {
  std::string all = "\"";
  for (const char c : one_line(text)) {
    if (c == '"' || c == '\\') all += '\\';
    all += c;
  }
  return all + "\"";
}

// Labels that tell samples of one stack apart for a reader; a block's size can be seen, and a thread's number makes each its own.
std::string labels_line(const ProfileSample& sample) {
  std::map<std::string, std::string> labels;
  for (const ProfileLabel& label : sample.labels) {
    if (label.key == "bytes" || label.key == "tid") continue;
    labels[label.key] = label.text.empty() ? std::to_string(label.number) : label.text;
  }
  std::string line;
  for (const auto& [key, text] : labels) line += (line.empty() ? "" : ", ") + quoted(key) + ":" + quoted(text);
  return line.empty() ? line : "# labels: {" + line + "}\n";
}

// Names and files are each in a column, by tabs.
std::string frame_lines(const Profile& profile, const std::vector<uint32_t>& frames, Symbolizer* symbolizer) {
  constexpr size_t kTab = 8;
  constexpr size_t kWidest = 64;  // a longer name has its file right behind it
  std::vector<std::string> names;
  names.reserve(frames.size());
  size_t width = 0;
  for (const uint32_t frame : frames) {
    names.push_back(one_line(frame_text(profile, profile.locations[frame], symbolizer)));
    width = std::max(width, std::min(names.back().size(), kWidest));
  }
  const size_t column = (width / kTab + 1) * kTab;
  std::string lines;
  for (size_t i = 0; i < frames.size(); ++i) {
    const ProfileLocation& location = profile.locations[frames[i]];
    lines += "#\t" + hex(location.address) + "\t" + names[i];
    const std::string file = one_line(frame_file(profile, location));
    const size_t used = std::min(names[i].size(), column - 1);
    if (!file.empty()) lines += std::string((column - used + kTab - 1) / kTab, '\t') + file;
    lines += '\n';
  }
  return lines + '\n';
}

// numbers: what stands before the stack's addresses.
std::string record_text(const Profile& profile, const ProfileSample& sample, const std::string& numbers,
                        Symbolizer* symbolizer) {
  std::string text = numbers + " @";
  for (const uint32_t frame : sample.locations) text += " " + hex(profile.locations[frame].address + 1);
  return text + "\n" + labels_line(sample) + frame_lines(profile, sample.locations, symbolizer);
}

// The samples, those with the most of a value first.
std::vector<const ProfileSample*> sorted_samples(const Profile& profile, size_t value) {
  std::vector<const ProfileSample*> samples;
  samples.reserve(profile.samples.size());
  for (const ProfileSample& sample : profile.samples) samples.push_back(&sample);
  std::stable_sort(samples.begin(), samples.end(), [value](const ProfileSample* a, const ProfileSample* b) {
    return a->values[value] > b->values[value];
  });
  return samples;
}

uint64_t size_of_block(const ProfileSample& sample) {
  for (const ProfileLabel& label : sample.labels) {
    if (label.key == "bytes") return static_cast<uint64_t>(label.number);
  }
  return 0;
}

// How many samples a number of blocks was scaled from. False: from none, they were recorded each.
bool undo_scaling(int64_t blocks, uint64_t size, uint64_t rate, int64_t* samples) {
  const double each = blocks_of_sample(size, rate);
  *samples = std::llround(static_cast<double>(blocks) / each);
  // They were rounded; and there may have been more than one part.
  const auto given = static_cast<double>(blocks);
  return std::abs(static_cast<double>(*samples) * each - given) <= 0.5 + 1e-9 * given;
}

// Whether every sample was scaled by the profile's rate; then as it was before.
bool undo_scaling(Profile* profile) {
  const auto rate = static_cast<uint64_t>(std::max<int64_t>(profile->period, 1));
  for (ProfileSample& sample : profile->samples) {
    const uint64_t size = size_of_block(sample);
    for (const HeapValue objects : {kAllocObjects, kInuseObjects}) {
      int64_t samples = 0;
      if (!undo_scaling(sample.values[objects], size, rate, &samples)) return false;
      sample.values[objects] = samples;
      sample.values[objects + 1] = samples * static_cast<int64_t>(size);
    }
  }
  return true;
}

std::string heap_numbers(const std::vector<int64_t>& values) {
  return std::to_string(values[kInuseObjects]) + ": " + std::to_string(values[kInuseSpace]) + " [" +
         std::to_string(values[kAllocObjects]) + ": " + std::to_string(values[kAllocSpace]) + "]";
}

std::string heap_text(const Profile& scaled, ProfileKind kind, Symbolizer* symbolizer) {
  Profile sampled = scaled;
  const bool is_undone = undo_scaling(&sampled);
  const Profile& profile = is_undone ? sampled : scaled;
  std::vector<int64_t> totals(4, 0);
  for (const ProfileSample& sample : profile.samples) {
    for (size_t i = 0; i < totals.size(); ++i) totals[i] += sample.values[i];
  }
  // Twice the rate is what the format asks for.
  const int64_t rate = is_undone ? std::max<int64_t>(profile.period, 1) : 1;
  std::string text = "heap profile: " + heap_numbers(totals) + " @ heap/" + std::to_string(2 * rate) + "\n";
  for (const ProfileSample* sample : sorted_samples(profile, kind == ProfileKind::allocs ? kAllocSpace : kInuseSpace)) {
    text += record_text(profile, *sample, heap_numbers(sample->values), symbolizer);
  }
  return text;
}

std::string contention_text(const Profile& profile, ProfileKind kind, Symbolizer* symbolizer) {
  // A cycle is a nanosecond.
  std::string text = kind == ProfileKind::mutex ? "--- mutex:\ncycles/second=1000000000\nsampling period=1\n"
                                                : "--- contention:\ncycles/second=1000000000\n";
  for (const ProfileSample* sample : sorted_samples(profile, 1)) {
    const std::string numbers = std::to_string(sample->values[1]) + " " + std::to_string(sample->values[0]);
    text += record_text(profile, *sample, numbers, symbolizer);
  }
  return text;
}

std::string count_text(const Profile& profile, ProfileKind kind, Symbolizer* symbolizer) {
  // Threads with one stack are one record.
  Profile summed;
  std::map<std::pair<std::vector<uint32_t>, std::string>, size_t> index_of;
  int64_t total = 0;
  for (const ProfileSample& sample : profile.samples) {
    total += sample.values[0];
    const auto [found, is_new] = index_of.try_emplace({sample.locations, labels_line(sample)}, summed.samples.size());
    if (is_new) {
      summed.samples.push_back(sample);
    } else {
      summed.samples[found->second].values[0] += sample.values[0];
    }
  }
  const std::string name(kind == ProfileKind::stacks ? profile.sample_types[0].type : name_of(kind));
  std::string text = name + " profile: total " + std::to_string(total) + "\n";
  for (const ProfileSample* sample : sorted_samples(summed, 0)) {
    text += record_text(profile, *sample, std::to_string(sample->values[0]), symbolizer);
  }
  return text;
}

// As pprof reads it: a name with a space in it, or that is no file's, it could not.
std::string mapping_line(const ProfileMapping& mapping) {
  const std::string file = one_line(mapping.filename);
  const bool is_readable =
      file == mapping.filename && (file.starts_with('/') || file == "[vdso]") && file.find(' ') == std::string::npos;
  if (!is_readable) return {};
  char text[64];
  snprintf(text, sizeof(text), "%lx-%lx ", static_cast<unsigned long>(mapping.start),
           static_cast<unsigned long>(mapping.limit));
  char offset[32];
  snprintf(offset, sizeof(offset), " (@%lx)", static_cast<unsigned long>(mapping.file_offset));
  return text + file + offset + (mapping.build_id.empty() ? "" : " ") + mapping.build_id + "\n";
}

std::string end_text(const Profile& profile) {
  std::string text;
  for (const std::string& comment : profile.comments) text += "# " + one_line(comment) + "\n";
  text += "\n--- Memory map: ---\n";
  for (const ProfileMapping& mapping : profile.mappings) text += mapping_line(mapping);
  return text;
}

}  // namespace

std::string profile_text(const Profile& profile, ProfileKind kind, Symbolizer* symbolizer) {
  switch (kind) {
    case ProfileKind::heap:
    case ProfileKind::allocs:
      return heap_text(profile, kind, symbolizer) + end_text(profile);
    case ProfileKind::block:
    case ProfileKind::mutex:
      return contention_text(profile, kind, symbolizer) + end_text(profile);
    default:
      return count_text(profile, kind, symbolizer) + end_text(profile);
  }
}

}  // namespace prof
