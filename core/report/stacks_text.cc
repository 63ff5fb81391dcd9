#include "core/report/stacks_text.h"

#include <cstdio>

#include "core/report/thread_state.h"

namespace prof {
namespace {

std::string hex(uint64_t number) {
  char text[24];
  snprintf(text, sizeof(text), "0x%lx", static_cast<unsigned long>(number));
  return text;
}

std::string head_of(const ThreadSample& thread) {
  std::string line =
      "thread " + std::to_string(thread.tid) + " \"" + thread.name + "\" [" + thread_state_text(thread.state);
  if (thread.waited_ns > 0) {
    char seconds[32];
    snprintf(seconds, sizeof(seconds), ", %.3f s", static_cast<double>(thread.waited_ns) / 1e9);
    line += seconds;
  }
  return line + "]:\n";
}

std::string line_of(const Profile& profile, const ProfileLocation& location, Symbolizer* symbolizer) {
  const ProfileMapping& mapping = profile.mappings[location.mapping];
  std::string line = "\t";
  const uint64_t offset = location.address - mapping.start + mapping.file_offset;
  if (!location.has_function) {
    // As `prof top` calls it: the file, and the place in it.
    const std::string& file = mapping.filename;
    line += (file.starts_with('[') ? file : "[" + file.substr(file.rfind('/') + 1) + "]") + "+" + hex(offset);
  } else {
    const ProfileFunction& function = profile.functions[location.function];
    line += function.name;
    // Not of a text that stands for no code.
    const uint64_t start = symbolizer->start_in_file(mapping.filename, offset);
    if (start != 0) line += "+" + hex(offset - start);
  }
  if (!mapping.filename.starts_with("[libprof")) line += "  " + mapping.filename;
  return line + "\n";
}

}  // namespace

std::string stacks_text(const Snapshot& snapshot, const Profile& profile, Symbolizer* symbolizer) {
  std::string text;
  for (size_t i = 0; i < snapshot.threads.size(); ++i) {
    if (i != 0) text += "\n";
    text += head_of(snapshot.threads[i]);
    for (const uint32_t location : profile.samples[i].locations) {
      text += line_of(profile, profile.locations[location], symbolizer);
    }
  }
  return text;
}

}  // namespace prof
