#include "core/report/profiler.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/record/cpu_buckets.h"
#include "core/record/snapshot_numbers.h"
#include "core/report/exec_watch.h"
#include "core/report/file_name.h"
#include "core/report/file_sink.h"
#include "core/report/module_map.h"
#include "core/report/owner_memory.h"
#include "core/report/profile_builder.h"
#include "core/report/profile_encoder.h"
#include "core/report/region_reading.h"
#include "core/report/region_view.h"
#include "core/report/snapshot_from_region.h"
#include "core/report/stacks_text.h"
#include "core/report/symbolizer.h"
#include "core/report/trace_builder.h"

namespace prof {
namespace {

// The programs that a process was before it became the present one, by exec, each have their own files: cpu.exec1.prof.
std::string exec_path(const char* path, unsigned number) {
  return insert_before_suffix(path, "exec" + std::to_string(number));
}

// CLOCK_REALTIME when a process was made, whatever it has executed since. The kernel counts in hundredths of a second.
int64_t unix_ns_of_process_start(int pid) {
  const std::string text = read_proc_file("/proc/" + std::to_string(pid) + "/stat");
  size_t at = text.rfind(')');
  constexpr int kFieldsBehindName = 20;
  for (int i = 0; i < kFieldsBehindName && at != std::string::npos; ++i) at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  const int64_t after_boot_ns = strtoll(text.c_str() + at, nullptr, 10) * (1'000'000'000 / sysconf(_SC_CLK_TCK));
  return clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + after_boot_ns;
}

bool is_newer_than(const std::string& path, int64_t unix_ns) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 && int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec >= unix_ns;
}

// The output of a program that another takes the place of. What older processes have left is replaced.
Output output_before_exec(const Output& output, int64_t process_start_ns) {
  constexpr unsigned kMost = 10'000;
  Output moved = output;
  moved.started_unix_ns = process_start_ns;
  for (unsigned number = 1; number < kMost; ++number) {
    bool is_free = true;
    for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
      if (output.paths[kind][0] == '\0') continue;
      const std::string path = exec_path(output.paths[kind], number);
      is_free &= !is_newer_than(path, process_start_ns);
      if (path.size() < sizeof(moved.paths[0])) memcpy(moved.paths[kind], path.c_str(), path.size() + 1);
    }
    if (is_free) break;
  }
  return moved;
}

// cpu.17.prof, 2 → cpu.17-2.prof
std::string with_number(const std::string& path, int number) {
  const std::string suffix = "-" + std::to_string(number);
  std::string numbered = insert_before_suffix(path, suffix);
  return numbered.erase(numbered.rfind("." + suffix), 1);
}

std::string numbered_path(const char* path, uint32_t number) {
  return number == 0 ? std::string(path) : insert_before_suffix(path, std::to_string(number));
}

bool has_events(const Snapshot& snapshot, ProfileKind kind) {
  return std::any_of(snapshot.events.begin(), snapshot.events.end(),
                     [kind](const EventSample& sample) { return sample.kind == event_of(kind); });
}

bool has_items(const Snapshot::Trace& trace) {
  return std::any_of(trace.threads.begin(), trace.threads.end(),
                     [](const TracedThread& thread) { return thread.begin_ns != 0 || !thread.items.empty(); });
}

// A child that recorded nothing leaves no file: a script's thousand commands would leave a thousand empty ones.
class Writer {
 public:
  Writer(const Snapshot& snapshot, const Output& output)
      : Writer(snapshot, output, ModuleMap::of_process(snapshot.pid), Symbolizer(snapshot.pid)) {}
  Writer(const Snapshot& snapshot, const Output& output, ModuleMap modules, Symbolizer symbolizer)
      : snapshot_(snapshot), output_(output), modules_(std::move(modules)), symbolizer_(std::move(symbolizer)) {}

  // False: something is not written; one line has said what. The process that it is of may have gone.
  bool write(const ReportTask& task) {
    written_kinds_ = task.written_kinds;
    const bool done = write_kinds(task);
    if (!failures_.empty()) say_failures();
    return done;
  }

  const std::vector<std::string>& files() const { return files_; }
  void on_written(std::function<void(ProfileKind)> call) { on_written_ = std::move(call); }
  // The names are a region's, of which nobody knows who has made it.
  void distrust_names(bool may_replace) {
    replacing_ = may_replace ? WriteMode::replace_older_profile : WriteMode::create_file;
    creating_ = WriteMode::create_file;
  }

 private:
  struct Failure {
    std::string title;
    std::string reason;  // the folder, and why: the same for the next kind
    std::string text;
  };

  bool write_kinds(const ReportTask& task) {
    bool done = true;
    const bool cpu_empty = snapshot_.cpu.samples.empty() && snapshot_.losses.empty();
    if (snapshot_.cpu.present && is_wanted(ProfileKind::cpu, cpu_empty)) {
      done = write_one(ProfileKind::cpu, build_cpu_profile(snapshot_, modules_, &symbolizer_),
                       task.numbered ? task.stretch : 0);
    }
    if (!task.cumulative) return done;
    for (const ProfileKind kind : {ProfileKind::block, ProfileKind::mutex, ProfileKind::threadcreate}) {
      if (!is_wanted(kind, !has_events(snapshot_, kind))) continue;
      done &= write_one(kind, build_event_profile(snapshot_, kind, modules_, &symbolizer_), task.snapshot);
    }
    if (snapshot_.wall_period_ns != 0 && is_wanted(ProfileKind::wall, !has_events(snapshot_, ProfileKind::wall))) {
      done &= write_one(ProfileKind::wall, build_wall_profile(snapshot_, modules_, &symbolizer_), task.snapshot);
    }
    if (task.snapshot != 0 && is_wanted(ProfileKind::stacks, /*empty=*/false)) done &= write_stacks(task.snapshot);
    if (snapshot_.trace.present && is_wanted(ProfileKind::trace, !has_items(snapshot_.trace))) {
      done &= write_bytes(ProfileKind::trace, build_trace(snapshot_, modules_, &symbolizer_), task.snapshot);
    }
    if (!snapshot_.heap.present) return done;
    const bool heap_empty = snapshot_.heap.samples.empty();
    const bool heap_wanted = is_wanted(ProfileKind::heap, heap_empty);
    if (heap_wanted) {
      done &= write_one(ProfileKind::heap, heap_profile(HeapView::heap), task.snapshot);
    }
    if (is_wanted(ProfileKind::allocs, heap_empty)) {
      done &= write_one(ProfileKind::allocs, heap_profile(HeapView::allocs), task.snapshot);
    }
    if (snapshot_.heap.has_peak && heap_wanted) done &= write_peak();
    return done;
  }
  bool is_wanted(ProfileKind kind, bool empty) const {
    const bool is_there = written_kinds_ != nullptr && (written_kinds_->load() & bit_of(kind)) != 0;
    return output_.path_of(kind)[0] != '\0' && !(output_.is_child && empty) && !is_there;
  }
  static uint32_t bit_of(ProfileKind kind) { return 1u << static_cast<unsigned>(kind); }
  Profile heap_profile(HeapView view) { return build_heap_profile(snapshot_, view, modules_, &symbolizer_); }
  bool write_one(ProfileKind kind, const Profile& profile, uint32_t number) {
    return write_bytes(kind, encode_profile(profile), number);
  }
  bool write_bytes(ProfileKind kind, const std::string& bytes, uint32_t number) {
    std::string path = numbered_path(output_.path_of(kind), number);
    const bool has_pid = output_.has_pid[static_cast<unsigned>(kind)];
    const WriteResult result = write_beside(&path, bytes, has_pid, output_.started_unix_ns);
    if (result.ok && written_kinds_ != nullptr) written_kinds_->fetch_or(bit_of(kind));
    if (result.ok && on_written_) on_written_(kind);
    return check(result, title_of(kind), path);
  }
  // Or under a name beside it, where what has this one is somebody else's.
  WriteResult write_beside(std::string* path, const std::string& bytes, bool has_pid, int64_t older_than_ns) {
    const bool is_ours = std::find(files_.begin(), files_.end(), *path) != files_.end();
    WriteResult result = write_file_whole(*path, bytes, has_pid || is_ours ? creating_ : replacing_, older_than_ns);
    if (result.taken && !has_pid) {
      // Another process of this run was first, one that we are not a child of as far as can be seen.
      *path = insert_before_suffix(*path, std::to_string(snapshot_.pid));
      result = write_file_whole(*path, bytes, creating_, 0);
    }
    // Pids come again, and are the same in other containers that share the folder.
    constexpr int kMostOfOnePid = 10'000;
    const std::string first = *path;
    for (int other = 2; result.taken && other <= kMostOfOnePid; ++other) {
      *path = with_number(first, other);
      result = write_file_whole(*path, bytes, creating_, 0);
    }
    return result;
  }
  // Of the moment of the signal; there is none at exit.
  bool write_stacks(uint32_t number) {
    const Profile profile = build_stacks_profile(snapshot_, modules_, &symbolizer_);
    const std::string path = numbered_path(output_.path_of(ProfileKind::stacks), number);
    // Beside it, with its last suffix replaced.
    const size_t name = path.rfind('/') + 1;
    const size_t suffix = path.rfind('.');
    const std::string text_path = (suffix > name ? path.substr(0, suffix) : path) + ".txt";
    const std::string text = stacks_text(snapshot_, profile, &symbolizer_);
    return write_one(ProfileKind::stacks, profile, number) &&
           check(write_file_whole(text_path, text, WriteMode::replace, 0), "stacks text", text_path);
  }
  // One for the process, written anew at each snapshot: the last one is there however the process ends.
  bool write_peak() {
    std::string path = insert_before_suffix(output_.path_of(ProfileKind::heap), "peak");
    const std::string bytes = encode_profile(heap_profile(HeapView::peak));
    const bool is_trusted = creating_ != WriteMode::create_file;
    if (is_trusted) return check(write_file_whole(path, bytes, WriteMode::replace, 0), "peak", path);
    return check(write_beside(&path, bytes, /*has_pid=*/false, /*older_than_ns=*/INT64_MAX), "peak", path);
  }
  bool check(const WriteResult& result, std::string_view title, const std::string& path) {
    if (result.ok) files_.push_back(path);
    if (result.ok) return true;
    const std::string why = "': " + result.error_text();
    failures_.push_back(
        {std::string(title), path.substr(0, path.rfind('/')) + why, std::string(result.step) + " '" + path + why});
    return false;
  }
  // Every kind by its name; why, once for a folder.
  void say_failures() const {
    LogLine line(LogLevel::error);
    line << "the ";
    for (size_t i = 0; i < failures_.size(); ++i) {
      if (i != 0) line << (i + 1 == failures_.size() ? " and " : ", ");
      line << failures_[i].title;
    }
    line << (failures_.size() == 1 ? " profile is" : " profiles are") << " not written";
    for (auto failure = failures_.begin(); failure != failures_.end(); ++failure) {
      const bool is_said = std::any_of(failures_.begin(), failure,
                                       [&](const Failure& earlier) { return earlier.reason == failure->reason; });
      if (!is_said) line << (failure == failures_.begin() ? ": " : "; ") << failure->text;
    }
  }

  const Snapshot& snapshot_;
  const Output& output_;
  const ModuleMap modules_;
  Symbolizer symbolizer_;
  std::vector<Failure> failures_;
  std::vector<std::string> files_;  // that are written
  WriteMode replacing_ = WriteMode::replace_older;
  WriteMode creating_ = WriteMode::create;
  std::atomic<uint32_t>* written_kinds_ = nullptr;
  std::function<void(ProfileKind)> on_written_;
};

SnapshotParts parts_of(const ReportTask& task, const Output& output) {
  SnapshotParts parts;
  parts.stretch = task.stretch;
  parts.cumulative = task.cumulative;
  parts.views = task.snapshot;
  parts.trace = task.cumulative && output.path_of(ProfileKind::trace)[0] != '\0';
  return parts;
}

void tell_owner(const OwnerMemory& owner, const ReportTask& task, bool written) {
  if (task.stretch != 0) {
    const size_t stretch = offsetof(CpuRecord, stretches) + (task.stretch & 1) * sizeof(CpuStretch);
    owner.write(Root::cpu, stretch + offsetof(CpuStretch, reported), written ? Reported::written : Reported::failed);
  }
  if (task.cumulative) owner.write(Root::snapshots, offsetof(SnapshotNumbers, done), task.snapshot);
}

// False: it has failed, or something is not written.
bool write_after_exec(int pid, const RegionView& region, const OwnerMemory& owner, Snapshot* snapshot,
                      const ReportTask& task, const Output& output) {
  const auto* numbers = region.root<SnapshotNumbers>(Root::snapshots);
  if (numbers == nullptr) return false;
  const uint32_t number = numbers->execs.load();
  if (!is_exec_attempt(number)) return false;
  static Output taken;
  taken = output_before_exec(output, unix_ns_of_process_start(pid));
  Writer writer(*snapshot, taken);
  const ExecWatch watch(pid, owner, number);
  owner.write(Root::snapshots, offsetof(SnapshotNumbers, exec_read), number);
  const ExecOutcome outcome = watch.await();
  if (outcome == ExecOutcome::failed) return false;
  if (outcome == ExecOutcome::ended) {
    // No program has taken its place, or its files' names. Who ends amid an exec leaves the writing here.
    taken = output;
    snapshot->ending = ending_text(Ending::amid_exec);
  }
  return writer.write(task);
}

}  // namespace

bool write_own_profiles(const RegionHeader* region, const ReportTask& task, const Output& output,
                        const std::vector<std::string>& notes, std::vector<std::string>* files) {
  Snapshot snapshot = snapshot_from_region(RegionView::of_self(region), parts_of(task, output));
  snapshot.cpu.notes = notes;
  // In another pid namespace the process is not in /proc any more.
  if (snapshot.executable.empty()) snapshot.executable = output.executable;
  snapshot.ending = ending_text(task.ending);
  static Output moved;
  if (task.ending == Ending::exec) moved = output_before_exec(output, unix_ns_of_process_start(snapshot.pid));
  Writer writer(snapshot, task.ending == Ending::exec ? moved : output);
  const bool done = writer.write(task);
  if (files != nullptr) *files = writer.files();
  return done;
}

bool write_profiles_of_region(const RegionView& region, const GoneProcess& process, const ReportTask& task,
                              const Output& output, std::vector<std::string>* files) {
  SnapshotParts parts = parts_of(task, output);
  parts.ended_ns = process.ended_ns;
  Snapshot snapshot = snapshot_from_region(region, parts);
  snapshot.notes = process.notes;
  std::unordered_map<std::string, std::string> build_ids;
  for (const NotedModule& module : process.modules) build_ids.try_emplace(module.mapped.path, module.build_id);
  std::vector<Module> modules;
  for (const NotedModule& module : process.modules) modules.push_back(module.mapped);
  Writer writer(snapshot, output, ModuleMap::of_noted(std::move(modules), snapshot.executable),
                Symbolizer(snapshot.pid, std::move(build_ids)));
  writer.distrust_names(process.may_replace);
  const bool done = writer.write(task);
  files->insert(files->end(), writer.files().begin(), writer.files().end());
  return done;
}

bool write_profiles_of_process(const LivingProcess& process, const ReportTask& task, const Output& output,
                               bool* is_written) {
  const auto& [pid, region_address, start_monotonic_ns] = process;
  // Where Yama asks for it, the other side names us as its reader right after it started us.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const RegionView region = RegionView::of_process(pid, region_address);
    if (region.valid() && region.header().start_monotonic_ns == start_monotonic_ns) {
      const OwnerMemory owner(pid, region_address, region);
      Snapshot snapshot = snapshot_from_region(region, parts_of(task, output));
      snapshot.ending = ending_text(task.ending);
      if (task.ending == Ending::exec) {
        *is_written = write_after_exec(pid, region, owner, &snapshot, task, output);
        return true;
      }
      Writer writer(snapshot, output);
      // At the end each kind that is in its file is taken from what there is to recover: this process may not come to all of them.
      if (task.cumulative && task.snapshot == 0) {
        writer.on_written([&](ProfileKind kind) {
          const size_t path = offsetof(OwnerRecord, paths) + static_cast<unsigned>(kind) * sizeof(Ref);
          owner.write(Root::owner, path, Ref{0});
        });
      }
      *is_written = writer.write(task);
      tell_owner(owner, task, *is_written);
      return true;
    }
    usleep(1000);
  }
  return false;
}

}  // namespace prof
