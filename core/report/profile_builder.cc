#include "core/report/profile_builder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <tuple>

#include "core/base/address.h"
#include "core/base/clocks.h"
#include "core/record/byte_sampler.h"
#include "core/report/demangle.h"
#include "core/report/location_table.h"
#include "core/report/loss_text.h"
#include "core/report/thread_state.h"

namespace prof {
namespace {

// Where ticks and looks come in user mode only, and why; empty: they come everywhere.
std::string where_in_user_mode(const Snapshot& snapshot) {
  if (snapshot.in_user_mode)
    return "in user mode only: the program calls io_uring_enter by an instruction of its own, and a handler of it "
           "blocks SIGPROF";
  if (snapshot.ring_threads == 0) return "";
  return "in user mode only in threads that call io_uring_enter: " + std::to_string(snapshot.ring_threads);
}

void add_comments(const Snapshot& snapshot, ProfileKind kind, const std::vector<std::string>& first, Profile* profile) {
  profile->comments.push_back("program: " + snapshot.executable + ", pid " + std::to_string(snapshot.pid));
  if (!snapshot.ending.empty()) profile->comments.push_back(snapshot.ending);
  for (const std::string& note : snapshot.notes) profile->comments.push_back(note);
  for (const std::string& comment : first) profile->comments.push_back(comment);
  for (const Loss& loss : snapshot.losses) {
    if (loss_concerns(loss.cause, kind)) {
      profile->comments.push_back(std::string(loss_text(loss.cause)) + ": " + std::to_string(loss.count));
    }
  }
  if (kind != ProfileKind::cpu) return;
  for (const std::string& note : snapshot.cpu.notes) profile->comments.push_back(note);
}

// Of a state: now, or the process's last moment.
int64_t time_of(const Snapshot& snapshot) {
  return snapshot.end_unix_ns != 0 ? snapshot.end_unix_ns : clock_ns(CLOCK_REALTIME);
}

std::vector<uint32_t> frames_of(const StackSnapshot& stack, LocationTable* locations) {
  std::vector<uint32_t> frames;
  frames.reserve(stack.frames.size());
  for (const uint64_t frame : stack.frames) frames.push_back(locations->of_frame(frame, stack.generation));
  return frames;
}

// libprof's own keys are none of these (record/label_sets.h).
void add_labels(const Snapshot& snapshot, uint32_t labels, ProfileSample* sample) {
  if (labels >= snapshot.label_sets.size()) return;
  for (const auto& [key, value] : snapshot.label_sets[labels]) sample->labels.push_back({key, value});
}

// A function's, by its address; where it has none, the file's with the place in it.
std::string name_of_code(uint64_t address, const ModuleMap& modules, Symbolizer* symbolizer) {
  const int index = modules.find(address);
  if (index < 0) return {};
  const Module& module = modules.modules()[static_cast<size_t>(index)];
  if (!module.from_file) return symbolizer->find_jit(address);
  const uint64_t offset = address - module.start + module.file_offset;
  const std::string name = symbolizer->find_in_file(module.path, offset);
  if (!name.empty()) return demangle(name);
  char digits[17];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), offset, 16).ptr;
  return module.path.substr(module.path.rfind('/') + 1) + "+0x" + std::string(digits, end);
}

// operator new stands between the program and malloc in every C++ stack: who called it is what is asked for.
void leave_out_operator_new(const Profile& profile, std::vector<uint32_t>* frames) {
  size_t leaves = 0;
  while (leaves + 1 < frames->size()) {
    const ProfileLocation& location = profile.locations[(*frames)[leaves]];
    if (!location.has_function || !profile.functions[location.function].name.starts_with("operator new")) break;
    ++leaves;
  }
  frames->erase(frames->begin(), frames->begin() + static_cast<ptrdiff_t>(leaves));
}

std::string seconds_text(uint64_t ns) {
  char text[32];
  snprintf(text, sizeof(text), "%.3g s", static_cast<double>(ns) / 1e9);
  return text;
}

// They are in no value, which would fall when they end, and of which idle pools would be the most.
std::string waits_now_text(const Snapshot& snapshot) {
  return "waits still going on, not in the values: " + std::to_string(snapshot.waits_now) + ", the longest for " +
         seconds_text(static_cast<uint64_t>(snapshot.longest_wait_now_ns));
}

// The looks are at all threads in turn: where a turn is long, what the profile says of a single thread rests on a few looks or none.
std::vector<std::string> wall_comments(const Snapshot& snapshot) {
  constexpr uint64_t kLongNs = 1'000'000'000;
  const uint64_t turn_ns = snapshot.wall_most_threads * snapshot.wall_period_ns;
  const bool is_incomplete = snapshot.wall_most_threads > 1 && turn_ns > snapshot.wall_duration_ns;
  if (turn_ns <= kLongNs && !is_incomplete) return {};
  std::string text = "each thread was looked at every " + seconds_text(turn_ns) + ", when there were " +
                     std::to_string(snapshot.wall_most_threads) + " (PROF_WALL_HZ looks a second at all in turn)";
  if (is_incomplete) text += "; the profile ends before all were";
  return {text};
}

// What is said of looks at threads that run.
std::vector<std::string> look_comments(const Snapshot& snapshot) {
  const std::string where = where_in_user_mode(snapshot);
  if (where.empty()) return {};
  return {"threads that run are looked at " + where + " (one that is in the kernel is not reached)"};
}

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
  const auto add_sample = [&](std::vector<uint32_t> stack, uint64_t ticks, const std::string& thread, uint32_t labels) {
    ProfileSample sample;
    sample.locations = std::move(stack);
    sample.values = {static_cast<int64_t>(ticks), static_cast<int64_t>(ticks * cpu.period_ns)};
    if (!thread.empty()) sample.labels.push_back({"thread", thread});
    add_labels(snapshot, labels, &sample);
    profile.samples.push_back(std::move(sample));
  };

  // One sample for each stack and its labels: the region may hold a stack twice, and one that was recorded before and after an
  // unloading of something else.
  std::map<std::tuple<std::vector<uint32_t>, std::string, uint32_t>, uint64_t> ticks_by_stack;
  for (const CpuSample& sample : cpu.samples) {
    const StackSnapshot& stack = snapshot.stacks[sample.stack];
    std::vector<uint32_t> frames = frames_of(stack, &locations);
    ticks_by_stack[{std::move(frames), sample.thread_name, sample.labels}] += sample.ticks;
  }
  for (const auto& [key, ticks] : ticks_by_stack) {
    const auto& [frames, thread, labels] = key;
    add_sample(frames, ticks, thread, labels);
  }
  for (const Loss& loss : snapshot.losses) {
    if (loss.cpu_ticks != 0)
      add_sample({locations.of_text("[lost: " + std::string(loss_text(loss.cause)) + "]")}, loss.cpu_ticks, "", 0);
  }
  locations.finish();

  std::string clock = "cpu clock: " + cpu.clock;
  if (const std::string where = where_in_user_mode(snapshot); !where.empty())
    clock += ", " + where + " (time in the kernel is counted at that call or in the code behind it)";
  add_comments(snapshot, ProfileKind::cpu, {std::move(clock)}, &profile);
  return profile;
}

Profile build_heap_profile(const Snapshot& snapshot, HeapView view, const ModuleMap& modules, Symbolizer* symbolizer) {
  Profile profile;
  const Snapshot::Heap& heap = snapshot.heap;
  profile.sample_types = {
      {"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}};
  profile.default_sample_type = view == HeapView::allocs ? "alloc_space" : "inuse_space";
  profile.period_type = {"space", "bytes"};
  profile.period = static_cast<int64_t>(heap.rate);
  profile.time_unix_ns = view == HeapView::peak && heap.peak_unix_ns != 0 ? heap.peak_unix_ns : time_of(snapshot);

  LocationTable locations(snapshot, modules, symbolizer, &profile);
  struct Counts {
    double allocated = 0, live = 0;
  };
  std::map<std::tuple<std::vector<uint32_t>, uint64_t, uint32_t>, Counts> by_stack_and_size;  // and labels
  for (const HeapSample& sample : heap.samples) {
    const bool peak = view == HeapView::peak;
    const uint64_t allocated = peak ? sample.peak_allocated : sample.allocated;
    if (allocated == 0) continue;
    const StackSnapshot& stack = snapshot.stacks[sample.stack];
    std::vector<uint32_t> frames = frames_of(stack, &locations);
    leave_out_operator_new(profile, &frames);
    Counts& counts = by_stack_and_size[{std::move(frames), sample.size, sample.labels}];
    const double blocks = blocks_of_sample(sample.size, sample.rate != 0 ? sample.rate : heap.rate);
    counts.allocated += static_cast<double>(allocated) * blocks;
    counts.live += static_cast<double>(allocated - (peak ? sample.peak_freed : sample.freed)) * blocks;
  }
  for (const auto& [key, counts] : by_stack_and_size) {
    const auto& [frames, size, labels] = key;
    ProfileSample sample;
    sample.locations = frames;
    for (const double objects : {counts.allocated, counts.live}) {
      sample.values.push_back(std::llround(objects));
      sample.values.push_back(std::llround(objects * static_cast<double>(size)));
    }
    sample.labels.push_back({"bytes", "", static_cast<int64_t>(size)});
    add_labels(snapshot, labels, &sample);
    profile.samples.push_back(std::move(sample));
  }
  locations.finish();
  std::vector<std::string> comments;
  if (!heap.foreign_malloc.empty()) {
    comments.push_back("the program's malloc is that of " + heap.foreign_malloc + " and is not seen by libprof");
  }
  add_comments(snapshot, ProfileKind::heap, comments, &profile);
  return profile;
}

Profile build_event_profile(const Snapshot& snapshot, ProfileKind profile_kind, const ModuleMap& modules,
                            Symbolizer* symbolizer) {
  Profile profile;
  const bool threads = profile_kind == ProfileKind::threadcreate;
  const EventKind kind = event_of(profile_kind);
  if (threads) {
    profile.sample_types = {{"threadcreate", "count"}};
    profile.default_sample_type = "threadcreate";
    profile.period_type = {"threadcreate", "count"};
  } else {
    profile.sample_types = {{"contentions", "count"}, {"delay", "nanoseconds"}};
    profile.default_sample_type = "delay";
    profile.period_type = {"contentions", "count"};
  }
  profile.period = 1;
  profile.time_unix_ns = time_of(snapshot);

  LocationTable locations(snapshot, modules, symbolizer, &profile);
  struct Sum {
    double events = 0;
    uint64_t total = 0;
  };
  // By stack, own label (the start routine, or what was waited for) and the thread's labels.
  std::map<std::tuple<std::vector<uint32_t>, std::string, uint32_t>, Sum> sums;
  double created = 0;
  uint64_t ended = 0;
  for (const EventSample& event : snapshot.events) {
    if (event.kind != kind) continue;
    const StackSnapshot& stack = snapshot.stacks[event.stack];
    std::vector<uint32_t> frames = frames_of(stack, &locations);
    std::string label;
    if (threads) label = name_of_code(event.detail, modules, symbolizer);
    if (kind == EventKind::block) label = thread_state_text(static_cast<uint32_t>(event.detail));
    Sum& sum = sums[{std::move(frames), std::move(label), event.labels}];
    sum.events += event.events;
    sum.total += event.total;
    created += event.events;
    ended += event.total;
  }
  for (const auto& [key, sum] : sums) {
    const auto& [frames, label, labels] = key;
    ProfileSample sample;
    sample.locations = frames;
    sample.values.push_back(std::llround(sum.events));
    if (!threads) sample.values.push_back(static_cast<int64_t>(sum.total));
    if (!label.empty()) sample.labels.push_back({threads ? "start" : "state", label});
    add_labels(snapshot, labels, &sample);
    profile.samples.push_back(std::move(sample));
  }
  locations.finish();
  std::vector<std::string> comments;
  if (threads) {
    const auto all = static_cast<uint64_t>(std::llround(created));
    comments.push_back("threads created: " + std::to_string(all) +
                       ", of which alive: " + std::to_string(all - std::min(ended, all)));
  }
  if (kind == EventKind::block && snapshot.waits_now != 0) comments.push_back(waits_now_text(snapshot));
  add_comments(snapshot, profile_kind, comments, &profile);
  return profile;
}

Profile build_wall_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer) {
  Profile profile;
  profile.sample_types = {{"samples", "count"}, {"wall", "nanoseconds"}};
  profile.default_sample_type = "wall";
  profile.period_type = {"wall", "nanoseconds"};
  profile.period = static_cast<int64_t>(snapshot.wall_period_ns);
  profile.duration_ns = static_cast<int64_t>(snapshot.wall_duration_ns);
  profile.time_unix_ns = time_of(snapshot) - profile.duration_ns;
  LocationTable locations(snapshot, modules, symbolizer, &profile);
  struct Sum {
    double samples = 0;
    uint64_t ns = 0;
  };
  // By stack, thread, state and labels.
  std::map<std::tuple<std::vector<uint32_t>, std::string, uint64_t, uint32_t>, Sum> sums;
  for (const EventSample& event : snapshot.events) {
    if (event.kind != EventKind::wall) continue;
    Sum& sum =
        sums[{frames_of(snapshot.stacks[event.stack], &locations), event.thread_name, event.detail, event.labels}];
    sum.samples += event.events;
    sum.ns += event.total;
  }
  for (const auto& [key, sum] : sums) {
    const auto& [frames, thread, state, labels] = key;
    ProfileSample sample;
    sample.locations = frames;
    sample.values = {std::llround(sum.samples), static_cast<int64_t>(sum.ns)};
    if (!thread.empty()) sample.labels.push_back({"thread", thread});
    sample.labels.push_back({"state", thread_state_text(static_cast<uint32_t>(state))});
    add_labels(snapshot, labels, &sample);
    profile.samples.push_back(std::move(sample));
  }
  locations.finish();
  std::vector<std::string> comments = wall_comments(snapshot);
  for (std::string& comment : look_comments(snapshot)) comments.push_back(std::move(comment));
  add_comments(snapshot, ProfileKind::wall, comments, &profile);
  return profile;
}

Profile build_stacks_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer) {
  Profile profile;
  profile.sample_types = {{"goroutine", "count"}};
  profile.default_sample_type = "goroutine";
  profile.period_type = {"goroutine", "count"};
  profile.period = 1;
  profile.time_unix_ns = time_of(snapshot);
  LocationTable locations(snapshot, modules, symbolizer, &profile);
  const StackSnapshot none = {{static_cast<uint64_t>(StackEnd::lost)}, 0};
  for (const ThreadSample& thread : snapshot.threads) {
    ProfileSample sample;
    const StackSnapshot& stack = thread.stack < 0 ? none : snapshot.stacks[static_cast<size_t>(thread.stack)];
    sample.locations = frames_of(stack, &locations);
    sample.values = {1};
    if (!thread.name.empty()) sample.labels.push_back({"thread", thread.name});
    sample.labels.push_back({"tid", "", thread.tid});
    sample.labels.push_back({"state", thread_state_text(thread.state)});
    add_labels(snapshot, thread.labels, &sample);
    profile.samples.push_back(std::move(sample));
  }
  locations.finish();
  add_comments(snapshot, ProfileKind::stacks, look_comments(snapshot), &profile);
  return profile;
}

Profile build_profile(const Snapshot& snapshot, ProfileKind kind, const ModuleMap& modules, Symbolizer* symbolizer) {
  switch (kind) {
    case ProfileKind::cpu:
      return build_cpu_profile(snapshot, modules, symbolizer);
    case ProfileKind::heap:
      return build_heap_profile(snapshot, HeapView::heap, modules, symbolizer);
    case ProfileKind::allocs:
      return build_heap_profile(snapshot, HeapView::allocs, modules, symbolizer);
    case ProfileKind::wall:
      return build_wall_profile(snapshot, modules, symbolizer);
    case ProfileKind::stacks:
      return build_stacks_profile(snapshot, modules, symbolizer);
    default:
      return build_event_profile(snapshot, kind, modules, symbolizer);
  }
}

}  // namespace prof
