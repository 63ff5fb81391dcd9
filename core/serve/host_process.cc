#include "core/serve/host_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/report/region_view.h"

namespace prof {
namespace {

constexpr const char* kCannotBeOn = "a setting of this profile cannot be used, or there is no memory to record it in";
constexpr const char* kSilent = "the process does not answer: it is stopped, or about to end";

// A file whose content is let go of at the end; -1: none.
struct Emptied {
  int file;
  ~Emptied() { [[maybe_unused]] const int result = file < 0 ? 0 : ftruncate(file, 0); }
};

// The program's memory itself is open for reading only.
bool is_copy(int memory) { return memory >= 0 && (fcntl(memory, F_GETFL) & O_ACCMODE) == O_RDWR; }

}  // namespace

HostProcess::HostProcess(const ServerArguments& arguments, Control* control)
    : pid_(arguments.pid),
      region_(arguments.region),
      memory_(arguments.memory),
      is_copy_(is_copy(arguments.memory)),
      maps_(arguments.maps),
      settings_(arguments.settings),
      control_(control),
      executable_(arguments.executable) {
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    if (settings_.from_start.has(static_cast<ProfileKind>(i))) since_[i] = {settings_.started_unix_ns, true};
  }
}

ControlMessage HostProcess::ask(ControlOp op, uint64_t value) {
  const std::optional<ControlMessage> answer = control_->ask(op, value);
  if (!answer) throw Refused(kSilent);
  return *answer;
}

HostProcess::Since HostProcess::switch_on(ProfileKind kind) {
  if (since(kind).unix_ns != 0) return since(kind);
  const ControlMessage answer = ask(ControlOp::switch_on, static_cast<uint64_t>(kind));
  if (answer.result == 0) throw Refused(kCannotBeOn);
  const Since since = {answer.result, answer.extra != 0};
  note(kind, since);
  return since;
}

void HostProcess::note(ProfileKind kind, const Since& since) {
  since_[static_cast<unsigned>(kind)] = since;
  if (kHeapKinds.has(kind)) {
    for (const ProfileKind both : {ProfileKind::heap, ProfileKind::allocs}) since_[static_cast<unsigned>(both)] = since;
  }
}

void HostProcess::refresh() {
  const std::optional<ControlMessage> paused = control_->ask(ControlOp::paused);
  if (!paused) return;
  is_paused_ = paused->result != 0;
  for (const ProfileKind kind : {ProfileKind::heap, ProfileKind::block, ProfileKind::mutex}) {
    const std::optional<ControlMessage> now = control_->ask(ControlOp::state, static_cast<uint64_t>(kind));
    if (!now || now->result == 0) continue;
    if (since(kind).unix_ns == 0) note(kind, {now->result, false});
    if (kind == ProfileKind::heap) settings_.heap_rate = static_cast<uint64_t>(now->extra);
    if (kind == ProfileKind::block) settings_.block_rate_ns = now->extra;
    if (kind == ProfileKind::mutex) settings_.mutex_fraction = static_cast<uint32_t>(now->extra);
  }
}

void HostProcess::set_block_rate(int64_t ns) {
  set_rate(ProfileKind::block, ControlOp::block_rate, static_cast<uint64_t>(ns));
  settings_.block_rate_ns = ns;
}

void HostProcess::set_mutex_fraction(uint32_t fraction) {
  set_rate(ProfileKind::mutex, ControlOp::mutex_fraction, fraction);
  settings_.mutex_fraction = fraction;
}

void HostProcess::set_rate(ProfileKind kind, ControlOp op, uint64_t rate) {
  const int64_t since = ask(op, rate).result;
  if (since == 0) throw Refused(kCannotBeOn);
  if (since_[static_cast<unsigned>(kind)].unix_ns == 0) since_[static_cast<unsigned>(kind)] = {since, false};
}

HostProcess::Counting::Counting(HostProcess* host, ControlOp op) : host_(host), op_(op) {
  // Each client asks: what was on may have been switched off meanwhile, by a program that takes SIGPROF for itself.
  const std::optional<ControlMessage> answer = host_->control_->ask(op_, 1);
  if (!answer || answer->result == 0) {
    // Where there is no answer, it may yet be switched on.
    if (host_->clients(op_) == 0) host_->control_->order(op_, 0);
    throw Refused(!answer                       ? kSilent
                  : op_ == ControlOp::count_cpu ? "SIGPROF is the program's or another library's"
                                                : "there is no thread for it, or a setting of it cannot be used");
  }
  ++host_->clients(op_);
}

HostProcess::Counting::~Counting() {
  if (--host_->clients(op_) == 0) host_->control_->order(op_, 0);
}

Snapshot HostProcess::snapshot(const SnapshotParts& parts) {
  RegionView region;
  const Emptied emptied = {is_copy_ ? memory_ : -1};
  if (memory_ >= 0 && !is_copy_) region = RegionView::of_memory(memory_, region_);
  if (!region.valid()) {
    const bool is_copied = ask(ControlOp::read).extra != 0;
    region = is_copied ? RegionView::of_memory(memory_, region_) : RegionView::of_process(pid_, region_);
  }
  if (!region.valid())
    throw Refused("process " + std::to_string(pid_) + " may not be read (it gave up its rights, or seccomp)");
  // RegionView::word_now() is to see what was written since.
  if (is_copy_ && parts.trace) ask(ControlOp::read);
  Snapshot snapshot = snapshot_from_region(region, parts);
  if (snapshot.executable.empty()) snapshot.executable = executable_;
  return snapshot;
}

Snapshot HostProcess::snapshot_of_threads() {
  constexpr int kAttempts = 3;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const ControlMessage answer = ask(ControlOp::view_threads);
    if (answer.result == 0) continue;
    SnapshotParts parts;
    parts.cumulative = true;
    parts.views = static_cast<uint32_t>(answer.result);
    Snapshot threads = snapshot(parts);
    // None: a snapshot by signal came in between.
    if (!threads.threads.empty()) return threads;
  }
  throw Refused("another snapshot of the threads is being taken; try again");
}

void HostProcess::look() {
  modules_ = maps_ < 0 ? ModuleMap::of_process(pid_) : ModuleMap::of_text(read_proc_file(maps_), executable_);
  std::string files;
  for (const Module& module : modules_.modules()) {
    if (module.from_file) files += module.path + '\n';
  }
  if (symbolizer_ == nullptr || files != files_) symbolizer_ = std::make_unique<Symbolizer>(pid_);
  symbolizer_->forget_jit();
  files_ = std::move(files);
}

void HostProcess::rest() { symbolizer_.reset(); }

bool HostProcess::is_there() { return control_->is_there(); }

bool HostProcess::has_threads() const {
  struct stat st = {};
  if (stat((proc_folder(pid_) + "task").c_str(), &st) != 0) return true;
  const std::string text = read_proc_file(proc_folder(pid_) + "stat");
  const size_t state = text.rfind(") ");
  // The main thread stays in the list when it has ended. The others are their links, beside the folder's own two.
  const bool main_ended = state != std::string::npos && state + 2 < text.size() && text[state + 2] == 'Z';
  const unsigned listed = static_cast<unsigned>(st.st_nlink) - 2;
  constexpr unsigned kHelper = 1;  // that answers; the others end by themselves
  return listed > kHelper + (main_ended ? 1 : 0);
}

}  // namespace prof
