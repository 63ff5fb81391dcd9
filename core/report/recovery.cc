#include "core/report/recovery.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/base/clocks.h"
#include "core/record/cpu_buckets.h"
#include "core/record/unloaded_modules.h"
#include "core/report/output.h"
#include "core/report/profiler.h"
#include "core/report/region_owner.h"
#include "core/report/region_reading.h"

namespace prof {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  const int number_;
};

// Empty: a file may be what a process of this user left here.
std::string reason_to_refuse(const struct stat& st) {
  if (!S_ISREG(st.st_mode)) return "it is no regular file";
  if (st.st_uid != geteuid()) return "it is another user's";
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "others may write to it";
  if (st.st_nlink != 1) return "it has several names";
  return {};
}

std::vector<NotedModule> modules_of(const RegionView& region, const OwnerRecord& owner) {
  const std::vector<UnloadedModule> unloaded = unloaded_of(region);
  std::vector<NotedModule> modules;
  ChainBudget budget(region, sizeof(UnloadedModuleEntry));
  for (Ref ref = owner.loaded.load(); ref != 0 && budget.take();) {
    const auto* entry = region.at<UnloadedModuleEntry>(ref);
    if (entry == nullptr || entry->path_bytes > kMostPathBytes ||
        region.at(ref, sizeof(*entry) + entry->path_bytes) == nullptr) {
      break;
    }
    NotedModule module;
    module.mapped.start = entry->start;
    module.mapped.end = entry->end;
    module.mapped.file_offset = entry->file_offset;
    module.mapped.path.assign(entry->path, strnlen(entry->path, entry->path_bytes));
    module.mapped.from_file = !module.mapped.path.starts_with('[');
    module.build_id = build_id_text(*entry);
    // One that was unloaded, and has not been met since.
    const uint32_t seen = entry->last_generation.load();
    const bool is_gone = std::any_of(unloaded.begin(), unloaded.end(), [&](const UnloadedModule& other) {
      return other.start < entry->end && entry->start < other.end && other.last_generation >= seen;
    });
    if (!is_gone) modules.push_back(std::move(module));
    ref = entry->next;
  }
  return modules;
}

// False: a name is none that libprof has written.
bool output_of(const RegionView& region, const OwnerRecord& owner, Output* output) {
  output->started_unix_ns = owner.started_unix_ns;
  output->is_child = owner.is_child != 0;
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    const std::string path = owner_text(region, owner.paths[kind]);
    if (path.size() >= sizeof(output->paths[kind]) || (!path.empty() && path.front() != '/')) return false;
    memcpy(output->paths[kind], path.c_str(), path.size() + 1);
    output->has_pid[kind] = (owner.has_pid >> kind & 1) != 0;
  }
  return true;
}

// All of it goes into one folder, each under its last name. False: it has none.
bool move_to(const std::string& folder, Output* output) {
  char whole[PATH_MAX];
  if (realpath(folder.c_str(), whole) == nullptr) return false;
  for (char* path : output->paths) {
    if (path[0] == '\0') continue;
    const std::string name(strrchr(path, '/') + 1);
    const std::string moved = std::string(whole) + "/" + name;
    const bool is_name = !name.empty() && name != "." && name != ".." && !is_region_file_name(name);
    if (!is_name || moved.size() >= sizeof(output->paths[0])) return false;
    // Its process wanted none of this.
    const bool is_wanted = std::string_view(path) != "/dev/null";
    memcpy(path, is_wanted ? moved.c_str() : "", is_wanted ? moved.size() + 1 : 1);
  }
  return true;
}

// A start that is still to come would make every file an older one. The region's file is made with its process, to some seconds (the clock may
// have been set).
bool is_credible_start(int64_t unix_ns, const struct stat& region) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kSlack = 10;
  return unix_ns <= clock_ns(CLOCK_REALTIME) && unix_ns / kSecond - kSlack <= int64_t{region.st_mtim.tv_sec};
}

std::string how_it_ended(OwnerFate fate, OwnerState state) {
  if (state == OwnerState::failed) return "could not write its profiles at its end";
  return fate == OwnerFate::replaced ? "went on as another program (exec)" : "was killed (or ended past libprof)";
}

// Where nothing that is left to be written has a folder, the first of them that is missing. Else empty.
std::string missing_folder_of(const Output& output) {
  std::string first;
  for (const char* path : output.paths) {
    if (path[0] == '\0') continue;
    const std::string folder(path, strrchr(path, '/') + 1);
    if (access(folder.c_str(), F_OK) == 0 || errno != ENOENT) return {};
    if (first.empty()) first = folder.substr(0, folder.size() - 1);
  }
  return first;
}

// All that is not written yet. False: something could not be.
bool write_all(const RegionView& region, const OwnerRecord& owner, const GoneProcess& process, const Output& output,
               std::vector<std::string>* files) {
  ReportTask task;
  task.cumulative = true;
  task.numbered = owner.numbered != 0;
  bool done = true;
  const auto* cpu = region.root<CpuRecord>(Root::cpu);
  const uint32_t last = cpu == nullptr ? 0 : cpu->stretch.load();
  const auto is_unwritten = [cpu](uint32_t number) {
    const CpuStretch& stretch = cpu->stretches[number & 1];
    return number != 0 && stretch.number.load() == number && stretch.reported.load() == Reported::no;
  };
  if (last != 0 && task.numbered && is_unwritten(last - 1)) {
    ReportTask earlier = task;
    earlier.cumulative = false;
    earlier.stretch = last - 1;
    done = write_profiles_of_region(region, process, earlier, output, files);
  }
  if (last != 0 && is_unwritten(last)) task.stretch = last;
  return write_profiles_of_region(region, process, task, output, files) && done;
}

}  // namespace

bool region_files_in(const std::string& folder, std::vector<std::string>* names) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(folder.c_str()), closedir);
  if (directory == nullptr) return false;
  while (const dirent* entry = readdir(directory.get())) {
    if (is_region_file_name(entry->d_name)) names->emplace_back(entry->d_name);
  }
  std::sort(names->begin(), names->end());
  return true;
}

Recovery recover_region(const std::string& folder, const std::string& name, const RecoveryOptions& options) {
  Recovery recovery;
  const auto ends = [&recovery](Recovered result, std::string text = {}) {
    recovery.result = result;
    recovery.text = std::move(text);
    return recovery;
  };
  const std::string path = folder + "/" + name;
  const Descriptor file(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) {
    // Somebody else has recovered it since it was listed.
    if (errno == ENOENT) return ends(Recovered::nothing);
    const char* description = strerrordesc_np(errno);
    return ends(Recovered::refused, errno == ELOOP || description == nullptr ? "it is a link" : description);
  }
  struct stat st;
  if (fstat(file.get(), &st) != 0) return ends(Recovered::refused, "it cannot be looked at");
  if (std::string reason = reason_to_refuse(st); !reason.empty() && st.st_nlink != 0) {
    return ends(Recovered::refused, std::move(reason));
  }
  // Held until the descriptor is closed, however this process ends.
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) return ends(Recovered::busy);
  if (fstat(file.get(), &st) != 0 || st.st_nlink == 0) return ends(Recovered::nothing);
  RegionView region = RegionView::of_file(file.get());
  if (!region.valid()) {
    RegionHeader header;
    const bool is_empty =
        pread(file.get(), &header, sizeof(header.magic), 0) < static_cast<ssize_t>(sizeof(header.magic)) ||
        header.magic.load() == 0;
    // One that is being made, or whose process was killed in that moment.
    constexpr int64_t kMadeWithin = 60;
    const bool is_new = clock_ns(CLOCK_REALTIME) / 1'000'000'000 - int64_t{st.st_mtim.tv_sec} < kMadeWithin;
    if (is_empty && is_new) return ends(Recovered::lives);
    if (!is_empty) return ends(Recovered::refused, "it is no region, or another version's");
    unlink(path.c_str());
    return ends(Recovered::nothing);
  }
  if (!is_time(region.header().start_monotonic_ns) || region.header().start_unix_ns < 0 ||
      region.header().start_unix_ns > 2 * kMostTime) {
    return ends(Recovered::refused, "it is no region");
  }
  recovery.pid = region.header().pid;
  const OwnerRecord* owner = owner_of(region);
  ProcessIdentity identity;
  if (owner != nullptr) {
    recovery.executable = owner_text(region, owner->executable);
    identity.start_ticks = owner->start_ticks;
    identity.pid_namespace = owner->pid_namespace;
    identity.boot_id.assign(owner->boot_id, strnlen(owner->boot_id, sizeof(owner->boot_id)));
  }
  const OwnerFate fate = fate_of_owner(recovery.pid, identity, name);
  if (fate == OwnerFate::lives) return ends(Recovered::lives);
  if (fate == OwnerFate::unknown && !options.is_gone) {
    return ends(Recovered::unknown, "its process is of another pid namespace: --gone says that it has ended");
  }
  // What was read before its process ended may lack what that wrote last.
  region = RegionView::of_file(file.get());
  if (!region.valid() || !is_time(region.header().start_monotonic_ns))
    return ends(Recovered::refused, "it is no region");
  owner = owner_of(region);
  const OwnerState state = owner == nullptr ? OwnerState::written : owner->state.load();
  static Output output;
  if (owner != nullptr && !output_of(region, *owner, &output)) return ends(Recovered::refused, "it is no region");
  if (state == OwnerState::written) {
    // Or it had not begun to record.
    unlink(path.c_str());
    return ends(Recovered::nothing);
  }
  recovery.text = how_it_ended(fate, state);
  recovery.is_moved = options.to.empty() && !options.is_own_folder && !is_of_own_namespace(identity);
  const bool is_here = options.to.empty() && !recovery.is_moved;
  if (!is_here && !move_to(recovery.is_moved ? folder : options.to, &output)) {
    return ends(Recovered::refused, "a profile's name in it is none");
  }
  GoneProcess process;
  process.may_replace = is_here && is_credible_start(output.started_unix_ns, st);
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  const int64_t begun = region.header().start_monotonic_ns;
  process.ended_ns = options.just_ended ? now : std::clamp(owner->last_ns.load(), begun, begun + kMostTime / 2);
  if (process.ended_ns <= 0) process.ended_ns = 1;
  process.modules = modules_of(region, *owner);
  process.notes.push_back("the process " + recovery.text + ": recovered from what it had recorded until then");
  const RegionHeader& header = region.header();
  if (header.file_segments.load() < header.segments.load()) {
    process.notes.emplace_back("the file system of PROF_SPOOL was full: what was recorded after that is lost");
  }
  recovery.missing_folder = missing_folder_of(output);
  // Its process has tried in vain already, and said so; what is missing still is for the line that says where the recording is.
  const bool is_said = state == OwnerState::failed && !recovery.missing_folder.empty();
  if (is_said || !write_all(region, *owner, process, output, &recovery.files)) {
    return ends(Recovered::failed, recovery.text);
  }
  unlink(path.c_str());
  return ends(recovery.files.empty() ? Recovered::nothing : Recovered::written, recovery.text);
}

}  // namespace prof
