// libprof.so as a program: the reporter (reporter.h). Executed by a human it says what it is. Normal code.
//
//   libprof-reporter PID REGION STRETCH NUMBERED CUMULATIVE SNAPSHOT STARTED CHILD PATH…    numbers in decimal; a path for each kind,
//                                                                                           empty where that is off

#include <unistd.h>

#include <charconv>
#include <cstring>

#include "core/base/raw_log.h"
#include "core/report/output.h"
#include "core/report/profiler.h"

// The kernel loads the interpreter that a program names; a shared library usually names none.
extern "C" const char prof_interpreter[] __attribute__((section(".interp"), used)) = "/lib64/ld-linux-x86-64.so.2";

namespace prof {
namespace {

uint64_t to_number(const char* text) {
  uint64_t number = 0;
  std::from_chars(text, text + strlen(text), number);
  return number;
}

}  // namespace
}  // namespace prof

// stack: what the kernel put there, argc first.
extern "C" __attribute__((visibility("hidden"), used)) void prof_program_main(long* stack) {
  const long count = stack[0];
  char** arguments = reinterpret_cast<char**>(stack + 1);
  prof::log_start(prof::LogLevel::warn);
  constexpr unsigned kNumbers = 8;
  if (count != 1 + kNumbers + prof::kProfileKinds) {
    prof::LogLine(prof::LogLevel::error)
        << "this is a library: PROF_CPU=cpu.prof LD_PRELOAD=libprof.so ./app (or profrun)";
    _exit(2);
  }
  uint64_t numbers[kNumbers];
  for (unsigned i = 0; i < kNumbers; ++i) numbers[i] = prof::to_number(arguments[1 + i]);
  prof::ReportTask task;
  task.stretch = static_cast<uint32_t>(numbers[2]);
  task.numbered = numbers[3] != 0;
  task.cumulative = numbers[4] != 0;
  task.snapshot = static_cast<uint32_t>(numbers[5]);
  static prof::Output output;
  output.started_unix_ns = static_cast<int64_t>(numbers[6]);
  output.is_child = numbers[7] != 0;
  for (unsigned kind = 0; kind < prof::kProfileKinds; ++kind) {
    strncpy(output.paths[kind], arguments[1 + kNumbers + kind], sizeof(output.paths[kind]) - 1);
  }
  const bool done = prof::write_profiles_of_process(static_cast<int>(numbers[0]), numbers[1], task, output);
  if (!done) {
    prof::LogLine(prof::LogLevel::error)
        << "process " << numbers[0]
        << " may not be read (it gave up its rights, or seccomp): no profile now; at its end";
  }
  _exit(done ? 0 : 1);
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
