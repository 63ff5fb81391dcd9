// libprof.so as a program: the reporter (reporter.h). Executed by a human it says what it is. Normal code.
//
//   libprof-reporter PID REGION STRETCH STARTED NUMBERED CHILD PATH      numbers in decimal

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
  if (count != 8) {
    prof::LogLine(prof::LogLevel::error)
        << "this is a library: PROF_CPU=cpu.prof LD_PRELOAD=libprof.so ./app (or profrun)";
    _exit(2);
  }
  prof::Output output = {};
  output.started_unix_ns = static_cast<int64_t>(prof::to_number(arguments[4]));
  output.is_child = prof::to_number(arguments[6]) != 0;
  strncpy(output.path, arguments[7], sizeof(output.path) - 1);
  const bool done = prof::write_profile_of_process(
      static_cast<int>(prof::to_number(arguments[1])), prof::to_number(arguments[2]),
      static_cast<uint32_t>(prof::to_number(arguments[3])), output, prof::to_number(arguments[5]) != 0);
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
