#include "preload/reporter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <iterator>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "core/record/cpu_buckets.h"
#include "core/record/snapshot_numbers.h"
#include "preload/program_launch.h"

extern "C" void prof_program_entry() __attribute__((visibility("hidden")));

namespace prof {
namespace {

// By stretch & 1, of a snapshot, the last, or before an exec.
struct Launch {
  ProgramLaunch program;
  ReportTask task;
  int64_t deadline_ns;
  char numbers[kReporterNumbers][24];
  char paths[kProfileKinds][sizeof(Output::paths[0])];
  char* list[1 + kReporterNumbers + kProfileKinds + 2];
};
constexpr unsigned kSnapshotLaunch = 2;
constexpr unsigned kLastLaunch = 3;
constexpr unsigned kExecLaunch = 4;
constinit Launch g_launches[5]{};

void put_number(char (&to)[24], uint64_t number) { *std::to_chars(to, to + 23, number).ptr = '\0'; }

Reported reported(uint32_t stretch) {
  return region_root<CpuRecord>(Root::cpu)->stretches[stretch & 1].reported.load(std::memory_order_acquire);
}

bool is_dealt_with(const ReportTask& task) {
  if (!task.cumulative) return reported(task.stretch) != Reported::no;
  return region_root<SnapshotNumbers>(Root::snapshots)->done.load(std::memory_order_acquire) == task.snapshot;
}

void pause_for(int64_t ns) {
  const struct timespec time = timespec_of(ns);
  raw_syscall(SYS_nanosleep, &time, nullptr);
}

// The beginning of a file of /proc/PID. Negative: -errno.
template <size_t N>
long read_proc_text(int pid, const char* name, char (&text)[N]) {
  char path[40] = "/proc/";
  strcpy(std::to_chars(path + 6, path + 24, pid).ptr, name);
  const long fd = raw_syscall(SYS_open, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const long bytes = raw_syscall(SYS_read, fd, text, N);
  raw_syscall(SYS_close, fd);
  return bytes;
}

// Not one that has ended and that nobody has reaped.
bool is_running(int pid) {
  char text[128];
  const long bytes = read_proc_text(pid, "/stat", text);
  // Without /proc: what kill says.
  if (bytes < 0 && bytes != -ESRCH) return bytes != -ENOENT && raw_syscall(SYS_kill, pid, 0) == 0;
  // "PID (name) state …": the name is at most 15 bytes, and may have a bracket in it.
  for (long i = bytes - 3; i > 0; --i) {
    if (text[i] == ')') return text[i + 2] != 'Z' && text[i + 2] != 'X';
  }
  return false;
}

char g_none[] = "";
char* g_spool_file = g_none;

uint64_t bits_of(const bool (&flags)[kProfileKinds]) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < kProfileKinds; ++i) bits |= uint64_t{flags[i]} << i;
  return bits;
}

bool is_at_work(const Launch& launch) {
  const int pid = launch.program.pid.load(std::memory_order_acquire);
  return pid != 0 && !is_dealt_with(launch.task) && is_running(pid);
}

bool start(Launch* launch, const ReportTask& task, const Output& output, int64_t deadline_ns) {
  launch->task = task;
  launch->deadline_ns = deadline_ns;
  launch->program.pid.store(0, std::memory_order_relaxed);
  memcpy(launch->paths, output.paths, sizeof(launch->paths));
  const uint64_t numbers[kReporterNumbers] = {static_cast<uint64_t>(raw_getpid()),
                                              reinterpret_cast<uint64_t>(g_region),
                                              static_cast<uint64_t>(g_region->start_monotonic_ns),
                                              task.stretch,
                                              task.numbered ? 1u : 0u,
                                              task.cumulative ? 1u : 0u,
                                              task.snapshot,
                                              static_cast<uint64_t>(output.started_unix_ns),
                                              output.is_child ? 1u : 0u,
                                              static_cast<uint64_t>(task.ending),
                                              static_cast<uint64_t>(deadline_ns),
                                              bits_of(output.has_pid)};
  static char name[] = "libprof-reporter";
  char** list = launch->list;
  *list++ = name;
  for (unsigned i = 0; i < kReporterNumbers; ++i) {
    put_number(launch->numbers[i], numbers[i]);
    *list++ = launch->numbers[i];
  }
  for (auto& path : launch->paths) *list++ = path;
  *list++ = task.ending == Ending::by_exit && deadline_ns == 0 ? g_none : g_spool_file;
  *list = nullptr;
  launch->program.arguments = launch->list;
  for (int& descriptor : launch->program.descriptors) descriptor = -1;
  return launch_program(&launch->program);
}

}  // namespace

bool reporter_is_this_process() { return getauxval(AT_ENTRY) == reinterpret_cast<unsigned long>(prof_program_entry); }

void reporter_removes(const char* spool_file) { g_spool_file = const_cast<char*>(spool_file); }

void reporter_launch(const ReportTask& task, const Output& output) {
  if (start(&g_launches[task.cumulative ? kSnapshotLaunch : task.stretch & 1], task, output, 0)) return;
  LogLine(LogLevel::warn) << "no process could be made to write "
                          << (task.cumulative ? "a snapshot: none this time"
                                              : "a CPU profile: it is written at the end");
}

bool reporter_is_busy(uint32_t next_stretch) { return is_at_work(g_launches[next_stretch & 1]); }

bool reporter_is_busy_with_snapshot() { return is_at_work(g_launches[kSnapshotLaunch]); }

bool reporter_can_read() {
  return raw_syscall(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 && is_running(raw_getpid());
}

bool reporter_wait(uint32_t stretch, int64_t most_ns) {
  const int64_t end = clock_ns(CLOCK_MONOTONIC) + most_ns;
  while (std::any_of(std::begin(g_launches), std::begin(g_launches) + kLastLaunch, is_at_work) &&
         clock_ns(CLOCK_MONOTONIC) < end) {
    pause_for(1'000'000);
  }
  return g_launches[stretch & 1].task.stretch != stretch || reported(stretch) == Reported::no;
}

namespace {

// What the reporter itself cannot say: it could not be loaded, or was killed.
void say_how_it_ended(int status) {
  constexpr int kHasSaidWhy = 1;
  if (status == -1 || status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == kHasSaidWhy)) return;
  LogLine(LogLevel::error) << "the process that was to write the profiles has ended ("
                           << (WIFSIGNALED(status) ? "signal " : "status ")
                           << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status))
                           << "; no memory?): what is not written by now is lost";
}

}  // namespace

bool reporter_finish(const ReportTask& task, const Output& output, bool keeps_descriptors, int64_t deadline_ns,
                     bool (*is_over)()) {
  constexpr int64_t kSliceNs = 10'000'000;
  constexpr int64_t kToGiveUpNs = 100'000'000;
  Launch& launch = g_launches[kLastLaunch];
  launch.program.is_awaited = true;
  launch.program.keeps_descriptors = keeps_descriptors;
  if (!start(&launch, task, output, deadline_ns)) return false;
  for (;;) {
    if (launch_await(&launch.program, kSliceNs)) {
      say_how_it_ended(launch.program.status);
      return true;
    }
    if (is_over()) return true;
    if (clock_ns(CLOCK_MONOTONIC) >= deadline_ns + kToGiveUpNs) break;
  }
  LogLine(LogLevel::warn)
      << "PROF_EXIT_TIMEOUT is over, and the disk does not answer: the program ends without its profiles";
  return true;
}

void reporter_before_exec(const ReportTask& task, const Output& output, int64_t deadline_ns) {
  constexpr int64_t kLookNs = 200'000;
  constexpr int kLooksUntilAsked = 100;
  auto* numbers = region_root<SnapshotNumbers>(Root::snapshots);
  const uint32_t number = numbers->execs.fetch_add(1) + 1;
  Launch& launch = g_launches[kExecLaunch];
  if (!start(&launch, task, output, deadline_ns)) {
    numbers->execs.fetch_add(1);
    LogLine(LogLevel::warn) << "no process could be started to write the profiles of what execs: they are lost";
    return;
  }
  for (int looks = 1; numbers->exec_read.load(std::memory_order_acquire) != number; ++looks) {
    if (clock_ns(CLOCK_MONOTONIC) >= deadline_ns) return;
    if (looks % kLooksUntilAsked == 0 && !is_running(launch.program.pid.load())) return;
    pause_for(kLookNs);
  }
}

namespace {

// Its number may be another process's by now.
bool is_reporter_of(const Launch& launch, int pid) {
  char text[128];
  const long bytes = read_proc_text(pid, "/cmdline", text);
  long at = 0;
  constexpr int kWordsThatTell = 3;  // name, process and region
  for (int i = 0; i < kWordsThatTell; ++i) {
    const long length = static_cast<long>(strlen(launch.list[i])) + 1;
    if (at + length > bytes || memcmp(text + at, launch.list[i], static_cast<size_t>(length)) != 0) return false;
    at += length;
  }
  return true;
}

}  // namespace

void reporter_exec_failed() {
  constexpr int64_t kLookNs = 50'000;
  constexpr int kLooksUntilAsked = 10;
  constexpr int64_t kPatienceNs = 20'000'000;
  Launch& launch = g_launches[kExecLaunch];
  const int pid = launch.program.pid.exchange(0);
  if (pid == 0) return;
  auto* numbers = region_root<SnapshotNumbers>(Root::snapshots);
  const uint32_t number = numbers->execs.fetch_add(1);
  const int64_t patient_until = std::min(clock_ns(CLOCK_MONOTONIC) + kPatienceNs, launch.deadline_ns);
  bool is_ended = false;
  for (int looks = 1; numbers->exec_dropped.load(std::memory_order_acquire) != number; ++looks) {
    if (looks % kLooksUntilAsked == 0 && !is_running(pid)) return;
    const int64_t now = clock_ns(CLOCK_MONOTONIC);
    // It cannot write to this process, or gets no time to run. There is nothing for it to do any more.
    if (now >= patient_until && !is_ended) {
      if (is_reporter_of(launch, pid)) raw_syscall(SYS_kill, pid, SIGKILL);
      is_ended = true;
    }
    if (now >= launch.deadline_ns) return;
    pause_for(kLookNs);
  }
}

void reporter_forget() {
  for (Launch& launch : g_launches) {
    launch.task = {};
    launch.program.pid.store(0, std::memory_order_relaxed);
  }
}

}  // namespace prof
