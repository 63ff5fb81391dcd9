#include "preload/last_profiles.h"

#include <linux/magic.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/cpu_buckets.h"
#include "core/report/file_sink.h"
#include "core/report/module_map.h"
#include "core/report/profiler.h"
#include "preload/api_profiles.h"
#include "preload/cpu_sampling.h"
#include "preload/deadly_signals.h"
#include "preload/endings.h"
#include "preload/http_helper.h"
#include "preload/program_launch.h"
#include "preload/recording.h"
#include "preload/reporter.h"
#include "preload/side_process.h"
#include "preload/spool.h"

namespace prof {
namespace {

const Config* g_config = nullptr;
const Output* g_output = nullptr;
bool g_is_forked = false;  // and has executed nothing since

// What write_aside() works on: it runs in a process beside this one.
ReportTask g_last_task;
unsigned g_unsampled = 0;
bool g_is_written = false;
std::atomic<uint32_t> g_written_kinds{0};  // by whoever was at it, to its end or not
std::atomic<std::vector<std::string>*> g_before_exec{
    nullptr};  // what was written of this process itself before an exec

void write_now() {
  std::vector<std::string> notes;
  if (g_unsampled != 0)
    notes.push_back("threads that were not sampled (made past libprof): " + std::to_string(g_unsampled));
  std::vector<std::string>* files = nullptr;
  if (g_last_task.ending == Ending::exec) g_before_exec.store(files = new std::vector<std::string>);
  g_last_task.written_kinds = &g_written_kinds;
  g_is_written = write_own_profiles(g_region, g_last_task, *g_output, notes, files);
}

// The program's may be a small one: of a thread or a handler. False: there is none.
bool call_on_big_stack(void (*function)(void*)) {
  constexpr uint64_t kStackBytes = 8 << 20;
  const long stack = raw_syscall(SYS_mmap, nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack < 0 && stack > -4096) return false;
  prof_call_on_stack(reinterpret_cast<char*>(stack) + kStackBytes, function, nullptr);
  raw_syscall(SYS_munmap, stack, kStackBytes);
  return true;
}

bool g_lacked_memory = false;

// By the program's own process, which is not to see it fail.
void write_now_if_possible(void*) {
  g_lacked_memory = false;
  try {
    write_now();
  } catch (const std::bad_alloc&) {
    g_lacked_memory = true;
  }
}

std::atomic<bool> g_is_handed_over{false};  // the writing at the end, to a process beside
std::atomic<bool> g_writes_here{false};     // this process does it itself

// The region's file goes here, not when the process goes on: it may be killed, or end, as soon as the profiles are there.
void write_aside() {
  g_is_handed_over.store(true);
  proc_folder_is_own(g_region->pid);
  if (!spool_claim()) return;
  write_now();
  // An exec may fail.
  if (g_last_task.ending != Ending::exec) spool_finish(g_is_written, g_written_kinds.load());
}

// Whether a profile goes to one of the program's own descriptors, such as /dev/stdout.
bool writes_to_descriptors() {
  return std::any_of(std::begin(g_output->paths), std::end(g_output->paths), [](const char* path) {
    return strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0;
  });
}

void say_what_is_missing(SideWork result) {
  if (result == SideWork::failed) {
    LogLine(LogLevel::error)
        << "the writing of the profiles has failed (no memory?): what is not written by now is lost";
  } else if (result == SideWork::too_late || result == SideWork::stuck) {
    // Where the disk does not answer, nothing can be taken away there.
    if (result == SideWork::too_late) discard_unfinished_file();
    LogLine(LogLevel::warn) << "PROF_EXIT_TIMEOUT is over: what is not written by now of the profiles is given up";
  }
}

// The process beside has the program's memory, and with it the limits of that: what it fails for want of may be there for one that has its
// own. True: that one is at it, or has said what it lacks itself; the region's file it removes.
bool write_apart(const ReportTask& task, int64_t deadline_ns) {
  if (!reporter_can_read()) return false;
  static Output left;
  memcpy(&left, g_output, sizeof(left));
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    if ((g_written_kinds.load() >> kind & 1) != 0) left.paths[kind][0] = '\0';
  }
  spool_finish(/*is_written=*/false, g_written_kinds.load());
  return reporter_finish(task, left, writes_to_descriptors(), deadline_ns, [] { return false; });
}

// The last resort, where no process can be made: by this one itself, on a stack of its own, and in as much time as it takes. Not where the
// program's memory may be spoiled (a fault here would be another end than its own), nor where a thread has libprof's heap locked.
bool write_here(Ending ending, void (*write)(void*)) {
  const int number = static_cast<int>(ending) - static_cast<int>(Ending::signal);
  if (is_fault_signal(number) || api_is_called() || work_aside_may_hold_heap()) return false;
  g_writes_here.store(true);
  const bool done = call_on_big_stack(write);
  g_writes_here.store(false);
  return done;
}

// The process beside has this thread's thread-local data, and files are written there: a thread that is to be cancelled would be, there.
class NoCancellation {
 public:
  NoCancellation() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancellation() { pthread_setcancelstate(before_, nullptr); }
  NoCancellation(const NoCancellation&) = delete;
  NoCancellation& operator=(const NoCancellation&) = delete;

 private:
  int before_ = 0;
};

std::atomic<Ending> g_api_ending{Ending::by_exit};
bool g_api_is_written = false;

void write_api_aside() {
  proc_folder_is_own(g_region->pid);
  g_api_is_written = api_write_run(g_api_ending.load());
}

// What prof_start_cpu began, at any end but exit(). Signal-safe: what was there before it began is in libprof's own heap, which a process
// reads that shares the memory; nobody holds a lock there but who is in one of these calls.
void write_run_of_api(Ending ending, int64_t deadline_ns) {
  const ApiRun run = api_run();
  if (run == ApiRun::none) return;
  // Written twice, where the exec fails, it would be no profile.
  if (run == ApiRun::to_descriptor && ending == Ending::exec) {
    LogLine(LogLevel::warn) << "the CPU profile that goes to a descriptor is not written before an exec";
    return;
  }
  const NoCancellation no_cancellation;
  g_api_ending.store(ending);
  g_api_is_written = false;
  const SideWork result = work_aside(write_api_aside, run == ApiRun::to_descriptor, deadline_ns);
  if (result == SideWork::impossible) write_here(ending, [](void*) { write_api_aside(); });
  if ((result == SideWork::done || result == SideWork::impossible) && g_api_is_written) return;
  if (result != SideWork::done && result != SideWork::impossible) api_give_up();
  LogLine(LogLevel::warn) << "the CPU profile that the program itself began could not be written";
}

// Whether the writing is done in no time wherever it is done: of nothing, to memory. A short process is not to pay for more.
bool is_nothing_to_memory() {
  if (recording_has_any()) return false;
  std::string_view checked;
  for (const auto& path : g_output->paths) {
    const std::string_view folder = std::string_view(path).substr(0, std::string_view(path).rfind('/') + 1);
    if (folder.empty() || folder == checked) continue;
    checked = folder;
    struct statfs about;
    static char text[sizeof(Output::paths[0])];
    text[folder.copy(text, sizeof(text) - 1)] = '\0';
    if (statfs(text, &about) != 0 || about.f_type != TMPFS_MAGIC) return false;
  }
  return true;
}

}  // namespace

ReportTask task_of_stretch(const Config& config, uint32_t stretch) {
  ReportTask task;
  task.stretch = stretch;
  task.numbered = config.cpu_signal != 0;
  return task;
}

void last_profiles_prepare(const Config& config, const Output& output) {
  g_config = &config;
  g_output = &output;
}

bool last_profiles_hold_heap() { return work_aside_may_hold_heap() || g_writes_here.load(); }

void last_profiles_forget() {
  g_is_forked = true;
  g_is_handed_over.store(false);
  g_writes_here.store(false);
  g_is_written = false;
  g_written_kinds.store(0);
}

void write_last(Ending ending, int64_t deadline_ns) {
  const NoCancellation no_cancellation;
  leave_new_pid_namespace();
  write_run_of_api(ending, deadline_ns);
  if (g_config->kinds.empty()) return spool_finish(/*is_written=*/true);
  // A child that recorded nothing leaves no file; it need not be found out by another process.
  if (g_output->is_child && !recording_has_any()) return spool_finish(/*is_written=*/true);
  const bool was_on = g_config->kinds.has(ProfileKind::cpu) && cpu_sampling_stop();
  const uint32_t stretch = region_root<CpuRecord>(Root::cpu)->stretch.load();
  const bool unwritten = reporter_wait(stretch, deadline_ns - clock_ns(CLOCK_MONOTONIC));
  ReportTask task;
  if (was_on || (stretch != 0 && unwritten)) task = task_of_stretch(*g_config, stretch);
  task.cumulative = g_config->kinds.meets(kCumulativeKinds);
  task.ending = ending;
  if (task.stretch == 0 && !task.cumulative) return spool_finish(/*is_written=*/true);
  // What a signal has hit may be in any state, and another process reads it. Where that one may not read, and for who has chosen to end
  // here, a process is enough that shares the memory: a fifth of the time.
  if ((ending == Ending::immediate || !reporter_can_read()) && !work_aside_may_hold_heap()) {
    g_last_task = task;
    const SideWork result = work_aside(write_aside, writes_to_descriptors(), deadline_ns);
    if (result == SideWork::failed && write_apart(task, deadline_ns)) return;
    say_what_is_missing(result);
    if (result != SideWork::impossible) return spool_finish(g_is_written, g_written_kinds.load());
  }
  if (reporter_finish(task, *g_output, writes_to_descriptors(), deadline_ns, ending_is_urgent)) return;
  g_last_task = task;
  if (write_here(ending, write_now_if_possible)) {
    if (g_lacked_memory) say_what_is_missing(SideWork::failed);
    return spool_finish(g_is_written, g_written_kinds.load());
  }
  LogLine(LogLevel::warn) << "no process could be started to write the profiles: they are lost";
}

void write_amid(Ending ending, int64_t deadline_ns) {
  if (work_aside_is_at_work()) return work_aside_await(deadline_ns);
  if (!g_is_handed_over.load()) write_last(ending, deadline_ns);
}

bool read_before_exec(int64_t deadline_ns, bool may_go_on) {
  constexpr int64_t kBriefNs = 10'000'000;
  write_run_of_api(Ending::exec, deadline_ns);
  if (g_config->kinds.empty()) {
    spool_unlink();
    return false;
  }
  if (!recording_has_any() || (g_is_forked && clock_ns(CLOCK_PROCESS_CPUTIME_ID) < kBriefNs)) {
    // Nobody else would see to it: every command of a shell would leave one. A shell's own scripts, which name no interpreter, are executed by
    // itself when it has tried.
    if (!may_go_on) spool_before_exec();
    return false;
  }
  ReportTask task;
  const uint32_t stretch = region_root<CpuRecord>(Root::cpu)->stretch.load();
  // A stretch that was switched off is its reporter's, which has to have read it: nothing is there any more after the exec.
  const bool unwritten = reporter_wait(stretch, deadline_ns - clock_ns(CLOCK_MONOTONIC));
  if (stretch != 0 && g_config->kinds.has(ProfileKind::cpu) && (cpu_sampling_is_on() || unwritten))
    task = task_of_stretch(*g_config, stretch);
  task.cumulative = g_config->kinds.meets(kCumulativeKinds);
  task.ending = Ending::exec;
  if (task.stretch == 0 && !task.cumulative) {
    if (!may_go_on) spool_before_exec();
    return false;
  }
  if (reporter_can_read()) {
    reporter_before_exec(task, *g_output, deadline_ns);
    return true;
  }
  if (work_aside_may_hold_heap()) return false;
  g_last_task = task;
  g_unsampled = 0;
  const SideWork result = work_aside(write_aside, writes_to_descriptors(), deadline_ns);
  say_what_is_missing(result);
  if (result == SideWork::done && g_is_written) spool_before_exec();
  if (result != SideWork::done) g_is_handed_over.store(false);
  return result == SideWork::done;
}

void take_back_before_exec() {
  reporter_exec_failed();
  g_is_handed_over.store(false);
  g_is_written = false;
  g_written_kinds.store(0);
  const std::vector<std::string>* files = g_before_exec.exchange(nullptr);
  if (files == nullptr) return;
  for (const std::string& file : *files) raw_syscall(SYS_unlink, file.c_str());
}

void write_at_exit(Ending ending) {
  const ErrnoSaver errno_saver;
  const NoCancellation no_cancellation;
  const int64_t deadline = ending_deadline();
  leave_new_pid_namespace();
  g_unsampled = g_config->kinds.meets(kTickedKinds) ? count_unsampled_threads() : 0;
  api_end();
  http_stop();
  const bool was_on = recording_stop();
  if (g_config->kinds.empty()) return spool_finish(/*is_written=*/true);
  const uint32_t stretch = region_root<CpuRecord>(Root::cpu)->stretch.load();
  const bool unwritten = reporter_wait(stretch, deadline - clock_ns(CLOCK_MONOTONIC));
  // A stretch that was switched off is its reporter's, unless that failed.
  // Where the program took SIGPROF over, the stretch ended without one.
  if (was_on || (stretch != 0 && unwritten)) g_last_task = task_of_stretch(*g_config, stretch);
  g_last_task.cumulative = g_config->kinds.meets(kCumulativeKinds);
  g_last_task.ending = ending;
  // One that was cut off before an exec that failed has left the heap as it was then.
  const bool heap_is_lost = work_aside_may_hold_heap();
  SideWork result = heap_is_lost             ? SideWork::failed
                    : is_nothing_to_memory() ? SideWork::impossible
                                             : work_aside(write_aside, writes_to_descriptors(), deadline);
  if (result == SideWork::impossible && (!call_on_big_stack(write_now_if_possible) || g_lacked_memory)) {
    result = SideWork::failed;
  }
  if (result == SideWork::failed && write_apart(g_last_task, deadline)) return;
  say_what_is_missing(result);
  spool_finish(g_is_written, g_written_kinds.load());
}

}  // namespace prof
