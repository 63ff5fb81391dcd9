#include "core/report/profile_builder.h"

#include <map>

#include "core/report/location_table.h"

namespace prof {
namespace {

std::string count_text(uint64_t count, const std::string& what) { return what + ": " + std::to_string(count); }

}  // namespace

Profile build_cpu_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer) {
  Profile profile;
  const Snapshot::Cpu& cpu = snapshot.cpu;
  profile.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  profile.default_sample_type = "cpu";
  profile.period_type = {"cpu", "nanoseconds"};
  profile.period = static_cast<int64_t>(cpu.period_ns);
  profile.time_unix_ns = cpu.start_unix_ns;
  profile.duration_ns = static_cast<int64_t>(cpu.duration_ns);

  LocationTable locations(snapshot, modules, symbolizer, &profile);
  const auto add_sample = [&](std::vector<uint32_t> stack, uint64_t ticks, const std::string& thread) {
    ProfileSample sample;
    sample.locations = std::move(stack);
    sample.values = {static_cast<int64_t>(ticks), static_cast<int64_t>(ticks * cpu.period_ns)};
    if (!thread.empty()) sample.labels.push_back({"thread", thread});
    profile.samples.push_back(std::move(sample));
  };

  // One sample for each stack and label: the region may hold a stack twice, and one that was recorded before and after an
  // unloading of something else.
  std::map<std::pair<std::vector<uint32_t>, std::string>, uint64_t> ticks_by_stack;
  for (const CpuSample& sample : cpu.samples) {
    const StackSnapshot& stack = snapshot.stacks[sample.stack];
    std::vector<uint32_t> frames;
    frames.reserve(stack.frames.size());
    for (const uint64_t frame : stack.frames) frames.push_back(locations.of_frame(frame, stack.generation));
    ticks_by_stack[{std::move(frames), sample.thread_name}] += sample.ticks;
  }
  for (const auto& [key, ticks] : ticks_by_stack) add_sample(key.first, ticks, key.second);
  for (const Loss& loss : snapshot.losses) {
    if (loss.cpu_ticks != 0) add_sample({locations.of_text("[lost: " + loss.cause + "]")}, loss.cpu_ticks, "");
  }
  locations.finish();

  profile.comments.push_back("program: " + snapshot.executable + ", pid " + std::to_string(snapshot.pid));
  profile.comments.push_back("cpu clock: " + cpu.clock);
  for (const Loss& loss : snapshot.losses) profile.comments.push_back(count_text(loss.count, loss.cause));
  for (const std::string& note : snapshot.notes) profile.comments.push_back(note);
  return profile;
}

}  // namespace prof
