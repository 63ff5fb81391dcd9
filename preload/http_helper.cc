#include "preload/http_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "core/base/rights.h"
#include "core/record/snapshot_numbers.h"
#include "core/report/file_name.h"
#include "core/report/http_address.h"
#include "core/serve/control_message.h"
#include "core/serve/server.h"
#include "preload/all_stacks.h"
#include "preload/cpu_sampling.h"
#include "preload/helper_thread.h"
#include "preload/pause.h"
#include "preload/program_launch.h"
#include "preload/recording.h"
#include "preload/reporter.h"
#include "preload/thread_look.h"

namespace prof {
namespace {

constexpr int64_t kWaitOfChildNs = 200'000'000;

constinit HelperThread g_helper{};
constinit ProgramLaunch g_launch{};
std::atomic<bool> g_leaving{false};
std::atomic<bool> g_busy{false};    // with a question
std::atomic<uint32_t> g_paused{0};  // futex
bool g_is_child = false;
unsigned g_stack_depth = 0;
int g_copy = -1;  // a file of memory that the region is copied to for the server; -1: it reads it by itself

// The server's arguments.
char g_name[] = "libprof-server";
char g_numbers[kServerNumbers][24];
char g_value[512];     // of PROF_HTTP as it was written, for messages
char g_address[4096];  // the same, with a path as it is to be
char g_token[4096];
char g_executable[4096];
char g_folder[4096];  // that the program was started in
char* g_arguments[1 + kServerNumbers + kServerTexts + 1];

void sleep_ns(int64_t ns) {
  const struct timespec pause = timespec_of(ns);
  raw_syscall(SYS_nanosleep, &pause, nullptr);
}

template <size_t size>
bool put_text(char (&to)[size], std::string_view text) {
  if (text.size() >= size) return false;
  memcpy(to, text.data(), text.size());
  to[text.size()] = '\0';
  return true;
}

std::string absolute(const std::string& path) { return path.front() == '/' ? path : g_folder + ("/" + path); }

// What the settings say, once: programs write their titles over the environment, which they stand in, and change their folder. False: it
// is too long.
bool keep_settings(const Config& config) {
  if (g_value[0] != '\0') return true;
  if (getcwd(g_folder, sizeof(g_folder)) == nullptr) g_folder[0] = '\0';
  const std::string token = config.http_token.empty() ? std::string() : absolute(std::string(config.http_token));
  return put_text(g_value, config.http) && put_text(g_token, token);
}

// Where two would meet, in the thread table and in the region that a reporter is reading, one waits for the other.
uint32_t view_threads() {
  constexpr int kMostMilliseconds = 1000;
  for (int i = 0; reporter_is_busy_with_snapshot(); ++i) {
    if (i == kMostMilliseconds) return 0;
    sleep_ns(1'000'000);
  }
  const uint32_t number = region_root<SnapshotNumbers>(Root::snapshots)->asked.fetch_add(1) + 1;
  return view_all_threads(number, g_stack_depth) ? number : 0;
}

void answer(ControlMessage* message) {
  message->result = 0;
  message->extra = 0;
  switch (message->op) {
    case ControlOp::listening:
    case ControlOp::leaving:
      break;
    case ControlOp::read:
      message->result = 1;
      message->extra = g_copy >= 0 && region_copy_to(g_copy) ? 1 : 0;
      break;
    case ControlOp::switch_on: {
      if (message->value >= kProfileKinds) break;
      const RecordedSince since = recording_switch_on(static_cast<ProfileKind>(message->value));
      message->result = since.unix_ns;
      message->extra = since.from_start ? 1 : 0;
      break;
    }
    case ControlOp::count_cpu:
      message->result = (message->value != 0 ? cpu_counting_start() : cpu_counting_stop()) ? 1 : 0;
      break;
    case ControlOp::count_wall:
      if (message->value == 0) wall_counting_stop();
      message->result = message->value == 0 || wall_counting_start() ? 1 : 0;
      break;
    case ControlOp::trace:
      if (message->value == 0) trace_recording_stop();
      message->result = message->value == 0 || trace_recording_start() ? 1 : 0;
      break;
    case ControlOp::view_threads:
      recording_switch_on(ProfileKind::stacks);
      message->result = view_threads();
      message->extra = clock_ns(CLOCK_REALTIME);
      break;
    case ControlOp::block_rate:
      message->result = set_block_rate(static_cast<int64_t>(message->value));
      break;
    case ControlOp::mutex_fraction:
      message->result = set_mutex_fraction(static_cast<uint32_t>(message->value));
      break;
    case ControlOp::state: {
      if (message->value >= kProfileKinds) break;
      const RecordedNow now = recording_now(static_cast<ProfileKind>(message->value));
      message->result = now.unix_ns;
      message->extra = now.rate;
      break;
    }
    case ControlOp::paused:
      message->result = is_recording_paused() ? 1 : 0;
      break;
  }
}

// Until the server ends. It is told of this process's end by the other end of the pair.
void answer_questions(int control) {
  bool was_listening = false;
  ControlMessage message;
  while (raw_syscall(SYS_recvfrom, control, &message, sizeof(message), 0, nullptr, nullptr) ==
         static_cast<long>(sizeof(message))) {
    if (message.op == ControlOp::leaving) return;
    if (message.op == ControlOp::listening) {
      was_listening = true;
      continue;
    }
    take_rights_of("/proc/self/status");
    let_read(g_launch.pid.load(std::memory_order_relaxed));
    g_busy.store(true);
    if (g_leaving.load()) {
      message.result = 0;
    } else {
      answer(&message);
    }
    g_busy.store(false);
    raw_syscall(SYS_sendto, control, &message, sizeof(message), MSG_NOSIGNAL, nullptr, 0);
  }
  // Now it ends, and its number may be another process's; unless there is a keeper, who waits for it.
  if (g_launch.keeper == 0) g_launch.pid.store(0, std::memory_order_release);
  if (g_leaving.load()) return;
  cpu_counting_stop();
  wall_counting_stop();
  trace_recording_stop();
  if (g_paused.load() != 0) return;
  // The process's stderr as it is now: none is held open in the meantime.
  const long log = raw_syscall(SYS_open, "/proc/self/fd/2", O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
  if (log >= 0 && log != 2) raw_syscall(SYS_dup2, log, 2);
  LogLine(LogLevel::warn) << "PROF_HTTP: the server " << (was_listening ? "has ended" : "could not be started")
                          << ": nothing is served any more";
}

// Out of the way of the server's own numbers.
int moved_up(long descriptor) {
  if (descriptor < 0) return -1;
  constexpr int kAbove = 10;
  const long moved = raw_syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, kAbove);
  raw_syscall(SYS_close, descriptor);
  return static_cast<int>(moved);
}

int memory_file() {
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
  const long file = raw_syscall(SYS_memfd_create, "libprof", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  return moved_up(file != -EINVAL ? file : raw_syscall(SYS_memfd_create, "libprof", MFD_CLOEXEC));
}

void wait_as_child() {
  const struct timespec most = timespec_of(kWaitOfChildNs);
  raw_syscall(SYS_futex, &g_paused, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &most);
}

void run() {
  if (g_is_child) wait_as_child();
  if (g_paused.load() != 0) return;
  int ends[2];
  if (raw_syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return;
  for (int& end : ends) end = moved_up(end);
  if (ends[0] < 0 || ends[1] < 0) return;
  g_launch.arguments = g_arguments;
  g_launch.stays = true;
  // By these two it may read what belongs to this process whatever becomes of either's rights; where they are not to be had it asks
  // the kernel each time.
  g_launch.descriptors[0] = ends[1];
  g_launch.descriptors[1] = moved_up(raw_syscall(SYS_open, "/proc/thread-self/mem", O_RDONLY | O_CLOEXEC));
  // A process that was not dumpable from its start (a child of one that gave up its rights) may not open it, nor is the server let.
  g_copy = g_launch.descriptors[1] < 0 ? memory_file() : -1;
  if (g_copy >= 0) g_launch.descriptors[1] = g_copy;
  g_launch.descriptors[2] = moved_up(raw_syscall(SYS_open, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC));
  // The folder of the process is that of its main thread.
  look_keeps_main_thread(moved_up(raw_syscall(SYS_open, "/proc/self/syscall", O_RDONLY | O_CLOEXEC)));
  take_rights_of("/proc/self/status");
  launch_program(&g_launch);
  for (const int descriptor : g_launch.descriptors) {
    if (descriptor != g_copy) raw_syscall(SYS_close, descriptor);
  }
  raw_syscall(SYS_close, 2);
  answer_questions(ends[0]);
  raw_syscall(SYS_close, ends[0]);
  launch_is_over(&g_launch);
  g_launch.pid.store(0, std::memory_order_release);
}

// A signal that only this process sends: with what no other knows, and the program does not.
long end_server(int server) {
  siginfo_t info = {};
  info.si_signo = kServerEndSignal;
  info.si_code = SI_QUEUE;
  info.si_pid = raw_getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = g_region;
  return raw_syscall(SYS_rt_sigqueueinfo, server, kServerEndSignal, &info);
}

bool start_helper() {
  // Or what a child has of its parent's would be taken for its own.
  g_launch.pid.store(0, std::memory_order_relaxed);
  return helper_start(&g_helper, run, /*keeps_stderr=*/true);
}

}  // namespace

bool http_prepare(const Config& config, const Output& output) {
  g_is_child = output.is_child;
  g_stack_depth = config.stack_depth;
  const bool is_kept = keep_settings(config);
  std::string address(g_value);
  HttpAddress parsed;
  parse_http_address(g_value, &parsed);
  if (!parsed.path.empty()) {
    std::string path;
    std::string error;
    if (!expand_file_name(parsed.path, file_name_facts_of_self(output.started_unix_ns), &path, &error)) {
      LogLine(LogLevel::error) << "PROF_HTTP: '" << g_value << "' cannot be used; " << error << " (nothing is served)";
      return false;
    }
    if (g_is_child && parsed.path.find("%p") == std::string_view::npos) {
      path = insert_before_suffix(path, std::to_string(getpid()));
    }
    address = "unix:" + absolute(path);
  }
  if (!is_kept || !put_text(g_address, address)) {
    LogLine(LogLevel::error) << "PROF_HTTP: its value or the name of the token's file is too long (nothing is served)";
    return false;
  }
  const ssize_t bytes = readlink("/proc/thread-self/exe", g_executable, sizeof(g_executable) - 1);
  g_executable[std::max<ssize_t>(bytes, 0)] = '\0';
  KindSet from_start = config.kinds;
  if (config.usable.has(ProfileKind::threadcreate)) from_start.add(ProfileKind::threadcreate);
  if (config.kinds.meets(kHeapKinds)) from_start.add(ProfileKind::heap), from_start.add(ProfileKind::allocs);
  const uint64_t numbers[] = {static_cast<uint64_t>(getpid()),
                              0,
                              g_is_child ? 1u : 0u,
                              static_cast<uint64_t>(config.log_level),
                              static_cast<uint64_t>(output.started_unix_ns),
                              from_start.bits(),
                              config.usable.bits(),
                              static_cast<uint64_t>(config.cpu_hz),
                              config.heap_rate,
                              static_cast<uint64_t>(config.block_rate_ns),
                              config.mutex_fraction};
  static_assert(std::size(numbers) == kServerNumbers);
  char** list = g_arguments;
  *list++ = g_name;
  for (unsigned i = 0; i < std::size(numbers); ++i) {
    *std::to_chars(g_numbers[i], g_numbers[i] + 23, numbers[i]).ptr = '\0';
    *list++ = g_numbers[i];
  }
  for (char* text : {g_value, g_address, g_token, g_executable}) *list++ = text;
  *list = nullptr;
  return true;
}

void http_start() {
  char(&region)[24] = g_numbers[1];
  *std::to_chars(region, region + 23, reinterpret_cast<uint64_t>(g_region)).ptr = '\0';
  g_leaving.store(false);
  if (!start_helper()) LogLine(LogLevel::warn) << "PROF_HTTP: no thread for it (nothing is served)";
}

void http_stop() {
  g_leaving.store(true);
  constexpr int kMostMilliseconds = 100;
  for (int i = 0; i < kMostMilliseconds && g_busy.load(); ++i) sleep_ns(1'000'000);
}

bool http_pause() {
  const int tid = g_helper.tid.load(std::memory_order_acquire);
  if (tid <= 0) return false;
  g_paused.store(1);
  raw_syscall(SYS_futex, &g_paused, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
  // By the server's end, since nothing else wakes the thread: its signals are blocked, and its descriptors are its own. Each once:
  // afterwards the number may be another's.
  constexpr int kMostMilliseconds = 3000;
  constexpr int kPatience = 200;
  bool is_told = false;
  bool is_killed = false;
  for (int i = 0; i < kMostMilliseconds && !helper_await_gone(tid, 1); ++i) {
    const int server = g_launch.pid.load(std::memory_order_acquire);
    if (server == 0) continue;
    if (!is_told) is_told = end_server(server) == 0;
    if (i < kPatience || is_killed) continue;
    is_killed = true;
    if (raw_syscall(SYS_kill, server, SIGKILL) != 0) break;  // not permitted: it goes on
  }
  return true;
}

void http_resume() {
  g_paused.store(0);
  if (helper_is_at_work(g_helper)) {
    LogLine(LogLevel::warn) << "PROF_HTTP: its server does not end; maybe nothing is served any more";
  } else if (!start_helper()) {
    LogLine(LogLevel::warn)
        << "PROF_HTTP: no thread for it in this namespace (nothing is served of this process any more)";
  }
}

void http_forget() {
  look_keeps_main_thread(-1);
  g_busy.store(false);
  g_paused.store(0);
  helper_forget(&g_helper);
}

}  // namespace prof
