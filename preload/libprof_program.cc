// libprof.so as a program: the reporter (reporter.h) and the server (http_helper.h). Executed by a human it says what it is. Normal code.
//
//   libprof-reporter PID REGION START STRETCH NUMBERED CUMULATIVE SNAPSHOT STARTED CHILD ENDING DEADLINE HAS_PID PATH… FILE
//                     numbers in decimal; the deadline by CLOCK_MONOTONIC, 0: none; a path for each kind, empty where that is off; the region's
//                     file, which is not needed any more once they are written, or nothing
//   libprof-server NUMBER… TEXT…      core/serve/server.h; kLaunchedDescriptor is its end of the pair

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <new>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/report/file_sink.h"
#include "core/report/output.h"
#include "core/report/profiler.h"
#include "core/serve/server.h"
#include "preload/private_heap.h"
#include "preload/program_launch.h"
#include "preload/reporter.h"

// The kernel loads the interpreter that a program names; a shared library usually names none.
extern "C" const char prof_interpreter[] __attribute__((section(".interp"), used)) = "/lib64/ld-linux-x86-64.so.2";

namespace prof {
namespace {

uint64_t to_number(const char* text) {
  uint64_t number = 0;
  std::from_chars(text, text + strlen(text), number);
  return number;
}

// The file being written goes: what there is of it is of no use.
void on_deadline(int) {
  discard_unfinished_file();
  LogLine(LogLevel::warn) << "PROF_EXIT_TIMEOUT is over: what is not written by now of the profiles is given up";
  _exit(1);
}

// This process ends then, whatever it does, if the kernel lets it.
void end_at(int64_t monotonic_ns) {
  struct sigaction action = {};
  action.sa_handler = on_deadline;
  sigaction(SIGALRM, &action, nullptr);
  struct sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  timer_t timer;
  struct itimerspec when = {};
  when.it_value = timespec_of(monotonic_ns);
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) timer_settime(timer, TIMER_ABSTIME, &when, nullptr);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
}

// Has ended, though it may be that nobody has reaped it. One that may not be read is there.
bool is_gone(uint64_t pid) {
  char target[1];
  return readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target, sizeof(target)) < 0 && errno == ENOENT &&
         access("/proc/self/exe", F_OK) == 0;
}

int report(char** arguments) {
  uint64_t numbers[kReporterNumbers];
  for (unsigned i = 0; i < kReporterNumbers; ++i) numbers[i] = to_number(arguments[1 + i]);
  ReportTask task;
  task.stretch = static_cast<uint32_t>(numbers[3]);
  task.numbered = numbers[4] != 0;
  task.cumulative = numbers[5] != 0;
  task.snapshot = static_cast<uint32_t>(numbers[6]);
  task.ending = static_cast<Ending>(numbers[9]);
  if (numbers[10] != 0) end_at(static_cast<int64_t>(numbers[10]));
  static Output output;
  output.started_unix_ns = static_cast<int64_t>(numbers[7]);
  output.is_child = numbers[8] != 0;
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    output.has_pid[kind] = (numbers[11] >> kind & 1) != 0;
    strncpy(output.paths[kind], arguments[1 + kReporterNumbers + kind], sizeof(output.paths[kind]) - 1);
  }
  const char* spool_file = arguments[1 + kReporterNumbers + kProfileKinds];
  const int spooled = *spool_file == '\0' ? -1 : open(spool_file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  // As who recovers it does: only one of the two writes. That one may just be looking whether the process lives.
  constexpr int kMostMilliseconds = 100;
  for (int i = 0; i < kMostMilliseconds && spooled >= 0 && flock(spooled, LOCK_EX | LOCK_NB) != 0; ++i) usleep(1000);
  bool is_written = false;
  const LivingProcess process = {static_cast<int>(numbers[0]), numbers[1], static_cast<int64_t>(numbers[2])};
  const bool done = write_profiles_of_process(process, task, output, &is_written);
  if (spooled >= 0 && is_written) unlink(spool_file);
  if (!done && is_gone(numbers[0])) {
    LogLine(LogLevel::error) << "process " << numbers[0] << " ended before its profiles could be read"
                             << (spooled >= 0 ? ": PROF_SPOOL has what it had recorded (prof recover)" : "");
  } else if (!done) {
    LogLine(LogLevel::error) << "process " << numbers[0]
                             << " may not be read (it gave up its rights, or seccomp): no profile"
                             << (numbers[10] != 0 ? "" : " now; at its end");
  }
  return done ? 0 : 1;
}

int serve_program(char** arguments) {
  uint64_t numbers[kServerNumbers];
  for (unsigned i = 0; i < kServerNumbers; ++i) numbers[i] = to_number(arguments[1 + i]);
  ServerArguments server;
  server.pid = static_cast<int>(numbers[0]);
  server.region = numbers[1];
  server.is_child = numbers[2] != 0;
  server.log_level = static_cast<LogLevel>(numbers[3]);
  server.settings = {static_cast<int64_t>(numbers[4]),
                     KindSet::of_bits(static_cast<unsigned>(numbers[5])),
                     KindSet::of_bits(static_cast<unsigned>(numbers[6])),
                     static_cast<int>(numbers[7]),
                     numbers[8],
                     static_cast<int64_t>(numbers[9]),
                     static_cast<uint32_t>(numbers[10])};
  char** texts = arguments + 1 + kServerNumbers;
  server.value = texts[0];
  server.address = texts[1];
  server.token_file = texts[2];
  server.executable = texts[3];
  server.control = kLaunchedDescriptor;
  const auto if_open = [](int descriptor) { return fcntl(descriptor, F_GETFD) < 0 ? -1 : descriptor; };
  server.memory = if_open(kLaunchedDescriptor + 1);
  server.maps = if_open(kLaunchedDescriptor + 2);
  log_start(server.log_level);
  return serve(server);
}

int run(int (*program)(char**), char** arguments) {
  static constexpr char kNoMemory[] =
      "there is no memory to write profiles with, or to serve them (RLIMIT_AS or RLIMIT_DATA): what is not written by "
      "now is lost";
  private_heap_start();
  private_heap_ends(getpid(), kNoMemory);
  try {
    return program(arguments);
  } catch (const std::bad_alloc&) {
    discard_unfinished_file();
    LogLine(LogLevel::error) << kNoMemory;
    return 1;
  }
}

}  // namespace
}  // namespace prof

// stack: what the kernel put there, argc first.
extern "C" __attribute__((visibility("hidden"), used)) void prof_program_main(long* stack) {
  const long count = stack[0];
  char** arguments = reinterpret_cast<char**>(stack + 1);
  prof::log_start(prof::LogLevel::warn);
  constexpr long kReporterWords = 1 + prof::kReporterNumbers + prof::kProfileKinds + 1;
  constexpr long kServerWords = 1 + prof::kServerNumbers + prof::kServerTexts;
  if (count == kReporterWords && strcmp(arguments[0], "libprof-reporter") == 0)
    _exit(prof::run(prof::report, arguments));
  if (count == kServerWords && strcmp(arguments[0], "libprof-server") == 0)
    _exit(prof::run(prof::serve_program, arguments));
  prof::LogLine(prof::LogLevel::error)
      << "this is a library: PROF_CPU=cpu.prof LD_PRELOAD=libprof.so ./app (or profrun)";
  _exit(2);
}

// The stack is aligned and the frame chain ended here, as a program's start does.
asm(R"(
  .text
  .globl prof_program_entry
  .hidden prof_program_entry
  .type prof_program_entry, @function
prof_program_entry:
  .cfi_startproc
  .cfi_undefined rip
  endbr64
  xorl %ebp, %ebp
  movq %rsp, %rdi
  andq $-16, %rsp
  call prof_program_main
  hlt
  .cfi_endproc
  .size prof_program_entry, .-prof_program_entry
)");
