#include "preload/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "core/record/owner_record.h"
#include "core/record/stack_table.h"
#include "core/report/file_sink.h"
#include "core/report/module_map.h"
#include "core/report/region_owner.h"
#include "preload/recording.h"
#include "preload/reporter.h"
#include "preload/signals_blocked.h"
#include "preload/spooled_code.h"

namespace prof {
namespace {

const Config* g_config = nullptr;
const Output* g_output = nullptr;
char g_folder[4096];                // absolute; empty: none is wanted, or it was refused
char g_file[4096 + 64];             // empty: the region is in none
std::atomic<bool> g_is_out{false};  // for an exec: its name is gone

bool refuse(std::string_view why, int error) {
  // Its children would say the same again.
  LogLine line(g_output->is_child ? LogLevel::info : LogLevel::warn);
  line << "PROF_SPOOL: no file in '" << g_folder << "': " << why;
  if (const char* description = error == 0 ? nullptr : strerrordesc_np(error); description != nullptr) {
    line << ": " << description;
  }
  line << " (if the process is killed, its profiles are lost)";
  g_folder[0] = '\0';
  return false;
}

// File systems on which a page that was given once may be refused later, or wait for another machine: the program would be killed, or
// stand still, by touching its memory.
bool is_reliable(int fd) {
  constexpr uint32_t kBtrfs = 0x9123683e;
  constexpr uint32_t kUnreliable[] = {0x6969,     0x517b,     0xff534d42, 0xfe534d42,  // NFS, SMB
                                      0x65735546, 0x01021997, 0x5346414f, 0x00c36400,  // FUSE, 9P, AFS, Ceph
                                      0x2fc12fc1, 0xca451a4e};  // ZFS, bcachefs: they copy on write
  struct statfs system;
  if (fstatfs(fd, &system) != 0) return false;
  const auto type = static_cast<uint32_t>(system.f_type);
  if (type == kBtrfs) {
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return false;
    flags |= FS_NOCOW_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
  }
  return std::find(std::begin(kUnreliable), std::end(kUnreliable), type) == std::end(kUnreliable);
}

// How long the file may be: beyond the limit the kernel would send SIGXFSZ, which kills.
uint64_t most_bytes() {
  constexpr uint64_t kMost = kMaxSegments * kSegmentBytes;
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) return 0;
  return std::min<uint64_t>(limit.rlim_cur, kMost) & ~(kSegmentBytes - 1);
}

bool put_in_file(int folder) {
  const uint64_t bytes = most_bytes();
  if (bytes == 0) return refuse("the limit on the size of files (ulimit -f)", 0);
  const std::string name = region_file_name(getpid(), clock_ns(CLOCK_REALTIME));
  const int fd = openat(folder, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return refuse("it cannot be made", errno);
  errno = 0;
  const bool is_good = is_reliable(fd);
  const bool is_region = is_good && region_create_in(fd, bytes);
  close(fd);
  const std::string path = std::string(g_folder) + "/" + name;
  if (!is_region || path.size() >= sizeof(g_file)) {
    unlinkat(folder, name.c_str(), 0);
    if (is_region) region_abandon();
    return refuse(is_good ? "there is no room, or the kernel is older than 5.14"
                          : "a region cannot be kept safely on that kind of file system",
                  0);
  }
  memcpy(g_file, path.c_str(), path.size() + 1);
  return true;
}

Ref put_text(std::string_view text) {
  return text.empty() ? 0 : put_owner_text(text.data(), static_cast<uint32_t>(text.size()));
}

}  // namespace

void spool_prepare(const Config& config, const Output& output) {
  g_config = &config;
  g_output = &output;
  if (config.spool.empty() || config.kinds.empty()) return;
  reporter_removes(g_file);
  std::string folder(config.spool);
  char here[4096];
  if (folder.front() != '/' && getcwd(here, sizeof(here)) != nullptr) folder = std::string(here) + "/" + folder;
  if (folder.size() >= sizeof(g_folder)) return;
  memcpy(g_folder, folder.c_str(), folder.size() + 1);
}

bool spool_create_region() {
  g_file[0] = '\0';
  g_is_out.store(false);
  g_stack_seen = nullptr;
  if (g_folder[0] == '\0') return false;
  const int folder = open(g_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return refuse("it cannot be opened", errno);
  struct stat st;
  bool done = false;
  if (fstat(folder, &st) != 0) {
    refuse("it cannot be looked at", errno);
  } else if (st.st_uid != geteuid() && st.st_uid != 0) {
    refuse("the folder is another user's", 0);
  } else if (is_open_to_others(st)) {
    refuse("everybody may write to the folder (chmod o-w, or +t)", 0);
  } else {
    done = put_in_file(folder);
  }
  close(folder);
  return done;
}

void spool_describe(const RegionHeader* parent) {
  if (g_file[0] == '\0') return;
  const Ref ref = region_allocate(sizeof(OwnerRecord));
  if (ref == 0) return;
  auto* owner = region_at<OwnerRecord>(ref);
  const ProcessIdentity self = identity_of_self();
  owner->is_child = g_output->is_child ? 1 : 0;
  owner->numbered = g_config->cpu_signal != 0 ? 1 : 0;
  owner->start_ticks = self.start_ticks;
  owner->pid_namespace = self.pid_namespace;
  self.boot_id.copy(owner->boot_id, sizeof(owner->boot_id) - 1);
  owner->started_unix_ns = g_output->started_unix_ns;
  owner->last_ns.store(clock_ns(CLOCK_MONOTONIC), std::memory_order_relaxed);
  owner->file = put_text(g_file);
  char executable[4096];
  const ssize_t bytes = readlink("/proc/self/exe", executable, sizeof(executable));
  owner->executable = put_text({executable, bytes < 0 ? 0 : static_cast<size_t>(bytes)});
  static_assert(kProfileKinds <= kOwnerPaths);
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    owner->paths[kind] = put_text(g_output->paths[kind]);
    if (g_output->has_pid[kind]) owner->has_pid |= 1u << kind;
  }
  spooled_code_start(owner, parent);
  // From here on it can be recovered.
  std::atomic_thread_fence(std::memory_order_release);
  g_region->roots[static_cast<unsigned>(Root::owner)] = ref;
  g_stack_seen = spooled_code_seen;
}

bool spool_is_on() { return g_file[0] != '\0'; }

bool spool_claim() {
  if (g_file[0] == '\0') return true;
  const long file = raw_syscall(SYS_open, g_file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  // The process gave up its rights, or the folder has gone. Without the file nobody can recover anything.
  if (file < 0) return true;
  // That one may just be looking whether the process lives; where it was killed, it may be writing.
  constexpr int kMostMilliseconds = 100;
  constexpr int kMostAfterKill = 60'000;
  for (int i = 0; raw_syscall(SYS_flock, file, LOCK_EX | LOCK_NB) != 0; ++i) {
    const bool is_killed = raw_syscall(SYS_getppid) != g_region->pid;
    if (i >= (is_killed ? kMostAfterKill : kMostMilliseconds)) break;
    const struct timespec millisecond = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &millisecond, nullptr);
  }
  struct stat about;
  return fstat(static_cast<int>(file), &about) != 0 || about.st_nlink != 0;
}

void spool_finish(bool is_written, uint32_t written_kinds) {
  if (g_file[0] == '\0') return;
  if (OwnerRecord* owner = owner_record(); owner != nullptr) {
    for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
      if ((written_kinds >> kind & 1) != 0) owner->paths[kind] = 0;
    }
    owner->state.store(is_written ? OwnerState::written : OwnerState::failed, std::memory_order_release);
  }
  if (is_written) spool_unlink();
}

void spool_unlink() {
  if (g_file[0] != '\0') raw_syscall(SYS_unlink, g_file);
}

void spool_before_exec() {
  spool_unlink();
  g_is_out.store(g_file[0] != '\0');
}

void spool_exec_failed() {
  if (!g_is_out.load() || !is_recording() || !g_is_out.exchange(false)) return;
  const SignalsBlocked blocked;
  // Another thread may be recording.
  constexpr nlink_t kLinksOfOneThread = 3;
  struct stat threads;
  const bool is_alone =
      raw_syscall(SYS_stat, "/proc/self/task", &threads) == 0 && threads.st_nlink == kLinksOfOneThread;
  const long file =
      is_alone ? raw_syscall(SYS_open, g_file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
  if (file >= 0) {
    if (!is_reliable(static_cast<int>(file)) || !region_move_to(static_cast<int>(file))) spool_unlink();
    raw_syscall(SYS_close, file);
  }
}

void spool_drop() {
  if (g_file[0] != '\0') unlink(g_file);
  g_file[0] = '\0';
}

}  // namespace prof
