#include "core/report/stacks_text.h"

#include <cstdio>

#include "core/report/frame_text.h"
#include "core/report/thread_state.h"

namespace prof {
namespace {

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
  const std::string file = frame_file(profile, location);
  return "\t" + frame_text(profile, location, symbolizer) + (file.empty() ? "" : "  ") + file + "\n";
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
