#include "preload/api_profiles.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/report/file_sink.h"
#include "core/report/profile_builder.h"
#include "core/report/profile_encoder.h"
#include "core/report/snapshot_delta.h"
#include "core/report/snapshot_from_region.h"
#include "preload/all_stacks.h"
#include "preload/cpu_sampling.h"
#include "preload/helper_thread.h"
#include "preload/pause.h"
#include "preload/recording.h"
#define PROF_LINKED
#include "preload/prof.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace prof {
namespace {

// One call at a time. (libprof's own calls go to the real functions.)
pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
std::atomic<bool> g_is_held{false};
std::atomic<bool> g_is_over{false};

class Turn {
 public:
  Turn() {
    // Files are written below: a cancelled thread would keep the lock.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_);
    pthread_mutex_lock(&g_lock);
    g_is_held.store(true, std::memory_order_relaxed);
  }
  ~Turn() {
    g_is_held.store(false, std::memory_order_relaxed);
    pthread_mutex_unlock(&g_lock);
    pthread_setcancelstate(cancel_state_, nullptr);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  const ErrnoSaver errno_saver_;
  int cancel_state_ = 0;
};

// Where a profile goes: a file by its absolute name, or a descriptor.
struct Target {
  std::string path;
  int fd = -1;
};

int target_of_path(const char* path, Target* target) {
  if (path == nullptr || path[0] == '\0') return PROF_BAD_ARGUMENT;
  target->path = path;
  if (path[0] != '/') {
    char folder[PATH_MAX];
    if (getcwd(folder, sizeof(folder)) == nullptr) return PROF_NOT_WRITTEN;
    target->path = std::string(folder) + "/" + path;
  }
  return target->path.size() >= PATH_MAX ? PROF_BAD_ARGUMENT : PROF_OK;
}

int target_of_fd(int fd, Target* target) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return PROF_BAD_ARGUMENT;
  target->fd = fd;
  return PROF_OK;
}

// To be known at the beginning, and not when the work is done.
bool may_be_written(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  return access(folder.c_str(), W_OK | X_OK) == 0 || access(path.c_str(), W_OK) == 0;
}

// A pipe whose reader has gone is an error here, and no signal for the program.
bool write_fd(int fd, std::string_view bytes) {
  sigset_t pipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  bool done = true;
  while (done && !bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    if (written >= 0 || errno == EINTR) continue;
    if (errno == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
      const struct timespec at_once = {0, 0};
      sigtimedwait(&pipe, nullptr, &at_once);
    }
    done = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return done;
}

// What a file is called while it is written, for api_end().
char g_temporary[PATH_MAX + 32];
std::atomic<bool> g_is_writing{false};
std::atomic<bool> g_is_given_up{false};

int write_file(const std::string& path, std::string_view bytes) {
  const std::string temporary = temporary_name(path);
  if (temporary.size() >= sizeof(g_temporary)) return PROF_NOT_WRITTEN;
  memcpy(g_temporary, temporary.c_str(), temporary.size() + 1);
  g_is_writing.store(true);
  const bool done = !g_is_given_up.load() && write_file_whole(path, bytes, WriteMode::replace, 0).ok;
  g_is_writing.store(false);
  return done ? PROF_OK : PROF_NOT_WRITTEN;
}

// At the program's end: the call that writes a file is not waited for any more. What there is of it goes, or it would stay.
void give_up_writing() {
  g_is_given_up.store(true);
  // It may be about to be made.
  constexpr int kMostMilliseconds = 100;
  for (int i = 0; i < kMostMilliseconds && g_is_writing.load() && unlink(g_temporary) != 0; ++i) usleep(1000);
}

std::atomic<ApiRun> g_api_run{ApiRun::none};
void (*g_begins)() = nullptr;

int write_snapshot(const Snapshot& snapshot, ProfileKind kind, const Target& target) {
  const ModuleMap modules = ModuleMap::of_process(snapshot.pid);
  Symbolizer symbolizer(snapshot.pid);
  const std::string bytes = encode_profile(build_profile(snapshot, kind, modules, &symbolizer));
  if (target.fd >= 0) return write_fd(target.fd, bytes) ? PROF_OK : PROF_NOT_WRITTEN;
  return write_file(target.path, bytes);
}

// A CPU profile that goes on: the ticks since it began.
struct CpuRun {
  SnapshotBase before;
  Target target;
  int64_t start_unix_ns;
  int64_t start_monotonic_ns;
};
CpuRun* g_run = nullptr;

Snapshot all_cpu_ticks() {
  SnapshotParts parts;
  parts.cpu_total = true;
  return snapshot_from_region(RegionView::of_self(g_region), parts);
}

int start_cpu(const Target& target) {
  if (g_run != nullptr) return PROF_BUSY;
  if (!recording_may_have(ProfileKind::cpu)) return PROF_OFF;  // a setting of it is wrong: that has been said
  if (target.fd < 0 && !may_be_written(target.path)) return PROF_NOT_WRITTEN;
  if (!cpu_counting_start(CountingFor::api)) return PROF_NOT_PERMITTED;
  if (g_begins != nullptr) g_begins();
  g_begins = nullptr;
  const Snapshot before = all_cpu_ticks();
  g_run = new CpuRun{SnapshotBase(before), target, clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_MONOTONIC)};
  const bool is_file = target.fd < 0 && !target.path.starts_with("/dev/") && !target.path.starts_with("/proc/");
  g_api_run.store(is_file ? ApiRun::to_file : ApiRun::to_descriptor);
  return PROF_OK;
}

int write_cpu(const Target& target, Ending ending = Ending::by_exit) {
  if (g_run == nullptr) return PROF_OFF;
  Snapshot snapshot = all_cpu_ticks();
  snapshot.ending = ending_text(ending);
  g_run->before.take_from(&snapshot);
  snapshot.cpu.start_unix_ns = g_run->start_unix_ns;
  snapshot.cpu.duration_ns = static_cast<uint64_t>(clock_ns(CLOCK_MONOTONIC) - g_run->start_monotonic_ns);
  return write_snapshot(snapshot, ProfileKind::cpu, target);
}

int stop_cpu() {
  if (g_run == nullptr) return PROF_OFF;
  g_api_run.store(ApiRun::none);
  cpu_counting_stop(CountingFor::api);
  const int result = write_cpu(Target(g_run->target));
  delete g_run;
  g_run = nullptr;
  return result;
}

// Every thread is looked at from a thread of libprof's own, this one too.
constinit HelperThread g_viewer{};
uint32_t g_view = 0;
constexpr uint32_t kOwnViews = 1u << 30;  // beside the numbers of PROF_SIGNAL's

void view() { view_all_threads(g_view, recorded_depth()); }

int view_stacks() {
  g_view = (g_view + 1) | kOwnViews;
  if (!helper_start(&g_viewer, view, /*keeps_stderr=*/false)) return PROF_NO_ROOM;
  while (helper_is_at_work(g_viewer)) usleep(200);
  return PROF_OK;
}

bool parse_kind(const char* name, ProfileKind* kind) {
  if (name == nullptr) return false;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    *kind = static_cast<ProfileKind>(i);
    if (name_of(*kind) == name) return *kind != ProfileKind::trace;  // which is no profile
  }
  *kind = ProfileKind::stacks;  // Go's name for it
  return std::string_view(name) == "goroutine";
}

int write_kind(ProfileKind kind, const Target& target) {
  if (kind == ProfileKind::cpu) return write_cpu(target);
  SnapshotParts parts;
  parts.cumulative = true;
  if (kind == ProfileKind::stacks) {
    if (const int error = view_stacks(); error != PROF_OK) return error;
    parts.views = g_view;
  } else if (!is_recorded(kind)) {
    return PROF_OFF;
  }
  return write_snapshot(snapshot_from_region(RegionView::of_self(g_region), parts), kind, target);
}

int set_rate(ProfileKind kind, long rate) {
  const bool is_hz = kind == ProfileKind::cpu || kind == ProfileKind::wall;
  if (rate < 0 || (is_hz && rate > 10000)) return PROF_BAD_ARGUMENT;
  switch (kind) {
    case ProfileKind::cpu:
      return rate == 0 ? PROF_BAD_ARGUMENT : set_cpu_hz(static_cast<int>(rate)) ? PROF_OK : PROF_BUSY;
    case ProfileKind::wall:
      return set_wall_hz(static_cast<int>(rate)) ? PROF_OK : PROF_BUSY;
    case ProfileKind::heap:
    case ProfileKind::allocs:
      return set_heap_rate(static_cast<uint64_t>(rate)) ? PROF_OK : PROF_NO_ROOM;
    case ProfileKind::block:
      set_block_rate(rate);
      return PROF_OK;
    case ProfileKind::mutex:
      if (rate > UINT32_MAX) return PROF_BAD_ARGUMENT;
      set_mutex_fraction(static_cast<uint32_t>(rate));
      return PROF_OK;
    default:
      return PROF_UNKNOWN_KIND;  // threadcreate and stacks have no rate
  }
}

// What every call has around it.
template <typename Call>
int in_turn(Call call) {
  if (!is_recording() || g_is_over.load()) return PROF_OFF;
  const Turn turn;
  if (!is_recording() || g_is_over.load()) return PROF_OFF;
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return PROF_NO_ROOM;
  }
}

template <typename Place, typename Use>
int with_target(int (*target_of)(Place, Target*), Place place, Use use) {
  return in_turn([&] {
    Target target;
    const int error = target_of(place, &target);
    return error != PROF_OK ? error : use(target);
  });
}

// At the end. A call in another thread may never come back; a handler may have interrupted one in this thread.
bool take_lock() {
  constexpr int kMostMilliseconds = 1000;
  for (int i = 0; i < kMostMilliseconds; ++i) {
    if (pthread_mutex_trylock(&g_lock) == 0) return true;
    usleep(1000);
  }
  return false;
}

}  // namespace

void api_prepare(void (*begins)()) { g_begins = begins; }

ApiRun api_run() { return g_is_over.load() ? ApiRun::none : g_api_run.load(); }

bool api_is_called() { return g_is_held.load(); }

bool api_write_run(Ending ending) {
  const bool goes_on = ending == Ending::exec;
  const bool is_free = take_lock();
  if (!goes_on) g_is_over.store(true);
  if (!is_free) {
    if (!goes_on) give_up_writing();
    return false;
  }
  bool is_written = g_run == nullptr;
  try {
    is_written = is_written || write_cpu(Target(g_run->target), ending) == PROF_OK;
  } catch (const std::bad_alloc&) {
  }
  pthread_mutex_unlock(&g_lock);
  return is_written;
}

void api_give_up() { g_is_over.store(true); }

void api_end() {
  const bool is_free = take_lock();
  g_is_over.store(true);
  if (!is_free) return give_up_writing();
  try {
    if (g_run != nullptr) stop_cpu();
  } catch (const std::bad_alloc&) {
    // The program ends as it would have.
  }
  pthread_mutex_unlock(&g_lock);
}

bool api_forget() {
  const bool was_writing = g_is_held.exchange(false);
  g_lock = PTHREAD_MUTEX_INITIALIZER;
  g_is_writing.store(false);
  g_api_run.store(ApiRun::none);
  g_run = nullptr;  // not deleted: where the parent was in a call, it may be half made
  helper_forget(&g_viewer);
  return was_writing;
}

}  // namespace prof

EXPORTED int prof_start_cpu(const char* path) { return prof::with_target(prof::target_of_path, path, prof::start_cpu); }
EXPORTED int prof_start_cpu_fd(int fd) { return prof::with_target(prof::target_of_fd, fd, prof::start_cpu); }
EXPORTED int prof_stop_cpu() { return prof::in_turn(prof::stop_cpu); }

EXPORTED int prof_write(const char* kind, const char* path) {
  prof::ProfileKind wanted;
  if (!prof::parse_kind(kind, &wanted)) return PROF_UNKNOWN_KIND;
  return prof::with_target(prof::target_of_path, path,
                           [wanted](const prof::Target& target) { return prof::write_kind(wanted, target); });
}

EXPORTED int prof_write_fd(const char* kind, int fd) {
  prof::ProfileKind wanted;
  if (!prof::parse_kind(kind, &wanted)) return PROF_UNKNOWN_KIND;
  return prof::with_target(prof::target_of_fd, fd,
                           [wanted](const prof::Target& target) { return prof::write_kind(wanted, target); });
}

EXPORTED int prof_set_rate(const char* kind, long rate) {
  prof::ProfileKind wanted;
  if (!prof::parse_kind(kind, &wanted)) return PROF_UNKNOWN_KIND;
  return prof::in_turn([&] { return prof::set_rate(wanted, rate); });
}

EXPORTED int prof_pause() {
  if (!prof::is_recording()) return PROF_OFF;
  prof::g_recording_paused.store(true);
  return PROF_OK;
}

EXPORTED int prof_resume() {
  if (!prof::is_recording()) return PROF_OFF;
  prof::g_recording_paused.store(false);
  return PROF_OK;
}

// gperftools' calls, for programs that have no gperftools: where it is there, they are its own.
// NOLINTBEGIN(readability-identifier-naming)
namespace {

template <typename Function>
Function gperftools(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

EXPORTED int ProfilerStart(const char* path) {
  if (const auto next = gperftools<int (*)(const char*)>("ProfilerStart"); next != nullptr) return next(path);
  return prof_start_cpu(path) == PROF_OK ? 1 : 0;
}

EXPORTED void ProfilerStop() {
  if (const auto next = gperftools<void (*)()>("ProfilerStop"); next != nullptr) return next();
  prof_stop_cpu();
}

// What there is so far, into the file that ProfilerStart named.
EXPORTED void ProfilerFlush() {
  if (const auto next = gperftools<void (*)()>("ProfilerFlush"); next != nullptr) return next();
  prof::in_turn([] { return prof::g_run == nullptr ? PROF_OFF : prof::write_cpu(prof::Target(prof::g_run->target)); });
}
// NOLINTEND(readability-identifier-naming)
