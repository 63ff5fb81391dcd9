// At every instruction of functions of every kind the stack is the true one: at each of their beginnings' and ends' instructions, in
// the C library's assembler, in the loader while it binds a call, in the unwinder that carries an exception, in signal handlers.
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/unwind/stepped_functions.h"
#include "tests/unit/unwind/stepper.h"

using namespace prof;

namespace {

// A place where no unwinder can be right by what the tables say, and why; how many wrong stacks there may be of it.
struct Exception {
  const char* why;
  std::function<bool(const WrongStack&)> is_of_it;
  uint64_t at_most;
};

bool starts_with(const std::string& text, const char* beginning) { return text.rfind(beginning, 0) == 0; }

void check(const char* what, void (*function)(), Ways ways, uint64_t instructions, std::vector<Exception> exceptions) {
  const Stepped stepped = step_through(function, ways);
  cr_log_info("%s: %lu instructions, %lu of them in the loader, %lu stacks, %lu wrong", what, stepped.instructions,
              stepped.in_loader, stepped.stacks, stepped.wrong);
  cr_assert_geq(stepped.instructions, instructions, "%s: %lu", what, stepped.instructions);
  cr_assert_eq(stepped.wrong, stepped.examples.size(), "%s: too many to look at", what);
  for (const WrongStack& wrong : stepped.examples) {
    const auto exception =
        std::find_if(exceptions.begin(), exceptions.end(), [&](auto& e) { return e.is_of_it(wrong); });
    cr_assert(exception != exceptions.end(), "%s, at %s, way %d, end %d\nexpected %s\nfound    %s", what,
              wrong.leaf.c_str(), static_cast<int>(wrong.way), static_cast<int>(wrong.end), wrong.expected.c_str(),
              wrong.found.c_str());
    cr_assert_neq(exception->at_most, 0u, "%s: more than there may be: %s", what, exception->why);
    --exception->at_most;
  }
}

// An instruction of a function that is stepped through three times is looked at five times at most.
constexpr uint64_t kLooks = 5;

bool is_caller_right(const WrongStack& wrong) {
  const auto leaf_and_caller = [](const std::string& places) {
    return places.substr(0, places.find(" < ", places.find(" < ") + 1));
  };
  return leaf_and_caller(wrong.expected) == leaf_and_caller(wrong.found);
}

// gcc's row for the end of a function that realigns its stack and has a frame of unknown size: behind `leave` it still says that the
// caller's rbp is to be read where rbp points. So of `lea -8(%r10), %rsp` and `ret` the caller is right, and its caller wrong where
// the caller has a frame pointer.
Exception after_leave(const void* function) {
  return {"the last two instructions of a realigned frame of unknown size",
          [function](const WrongStack& wrong) {
            constexpr uint64_t kFunctionBytes = 400;
            return wrong.pc - reinterpret_cast<uint64_t>(function) < kFunctionBytes && is_caller_right(wrong);
          },
          2 * kLooks};
}

// glibc's rows for the last nine instructions of __longjmp name the frame jumped to as the caller, with its sp in a register and the
// jump buffer as the CFA. libunwind, which has to step here, takes the CFA for the sp; the stack ends with a marker.
Exception end_of_longjmp() {
  return {
      "the last nine instructions of __longjmp",
      [](const WrongStack& wrong) { return starts_with(wrong.leaf, "libc.so") && wrong.end == StackEnd::no_progress; },
      9 * kLooks};
}

// libgcc, before it jumps to a handler or cleanup: uw_install_context writes the registers of the frame jumped to over those that
// _Unwind_RaiseException or _Unwind_Resume saved of their own caller, a frame that has ceased to be; and both end in a `ret` on
// another frame's stack. Measured: 1.7 % of the stacks of throw_through() where the frames have frame pointers, 1 % elsewhere.
Exception installing_the_context() {
  return {"uw_install_context and the functions that call it",
          [](const WrongStack& wrong) { return starts_with(wrong.leaf, "libgcc_s.so"); }, 3900};
}

// _init, _fini and what crtbegin.o has for a library's start and end: neither glibc's assembler nor gcc's build gives them tables.
// (The library is gone when its code's name is asked for.)
Exception code_without_tables() {
  return {"_init, _fini, crtbegin.o", [](const WrongStack& wrong) { return starts_with(wrong.leaf, "0x"); }, 40 * 3};
}

int ascending(const void* a, const void* b) { return *static_cast<const int*>(a) - *static_cast<const int*>(b); }

void call_qsort() {
  int numbers[40];
  for (int i = 0; i < 40; ++i) numbers[i] = i * 7919 % 101;
  qsort(numbers, 40, sizeof(int), ascending);
}

volatile size_t g_result;

void call_assembler() {
  static char from[70'000];
  static char to[70'000];
  memset(from, 'x', sizeof(from) - 1);
  for (const size_t bytes : {0,  1,  2,   3,   4,   7,   8,   15,  16,  17,  31,   32,   33,    63,
                             64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 1000, 4096, 20000, 60000}) {
    memcpy(to, from, bytes);
    memmove(to + 1, to, bytes);
    memmove(to, to + 1, bytes);
    memset(to + 5, 'y', bytes);
    to[bytes] = 0;
    g_result = strlen(to);
    g_result = reinterpret_cast<size_t>(strchr(to, 'z'));
    g_result = reinterpret_cast<size_t>(strrchr(to, 'x'));
    g_result = reinterpret_cast<size_t>(memchr(to, 'z', bytes));
    g_result = static_cast<size_t>(memcmp(to, from, bytes));
    g_result = static_cast<size_t>(strcmp(to, from));
    g_result = static_cast<size_t>(strncmp(to, from, bytes));
    g_result = reinterpret_cast<size_t>(strstr(to, "yxxz"));
    g_result = strspn(to, "xy");
  }
}

void call_library() {
  char text[300];
  snprintf(text, sizeof(text), "%d %s %.17g %lx %20s", 12, "and", 1 / 3., 99l, "so on");
  volatile double sum = strtod("3.25e-7", nullptr) + sin(.5) + exp(1.5) + pow(2.5, 1.5) + atan2(1, 2);
  sum = sum + fma(1.5, 2.5, sum);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  getppid();
  for (size_t bytes = 1; bytes < 300'000; bytes *= 3) free(malloc(bytes));
  usleep(1);
  setenv("PROF_TEST", "1", 1);
  getenv("PROF_TEST");
  time_t when = 86400 * 365;
  struct tm parts;
  gmtime_r(&when, &parts);
}

void call_cpp_library() {
  std::ostringstream stream;
  stream << 1.5 << std::string("and") << 12;
  std::map<std::string, int> counts;
  for (int i = 0; i < 30; ++i) ++counts[std::to_string(i * 7919 % 11)];
  std::vector<std::string> words;
  for (auto& [word, count] : counts) words.push_back(word + stream.str());
  std::sort(words.begin(), words.end(), std::greater<>());
  const std::regex pattern("(1|2)*.*and[0-9]+");
  volatile long matches =
      std::count_if(words.begin(), words.end(), [&](auto& word) { return std::regex_match(word, pattern); });
  (void)matches;
}

void load_and_unload() {
  void* library = dlopen("libanl.so.1", RTLD_LAZY);
  dlsym(library, "gai_suspend");
  dlclose(library);
}

void on_user_signal(int, siginfo_t*, void* context) {
  note_handler(__builtin_frame_address(0), static_cast<const ucontext_t*>(context));
  set_trap_flag();
  optimized::call_all();
}

void raise_signal() {
  raise(SIGUSR1);
  optimized::call_all();
}

struct Variant {
  const char* name;
  void (*call_all)();
  void (*jump)();
  void (*throw_through)();
  const void* (*realigned_and_variable)();
};
#define VARIANT(name) \
  { #name, name::call_all, name::jump, name::throw_through, name::realigned_and_variable }
const Variant kVariants[] = {VARIANT(plain), VARIANT(optimized), VARIANT(with_frame_pointer), VARIANT(small),
                             VARIANT(fastest)};

}  // namespace

Test(stepping, every_kind_of_frame, .init = stepper_start) {
  for (const Variant& variant : kVariants) {
    check(variant.name, variant.call_all, Ways::each_at_every_instruction, 2000,
          {after_leave(variant.realigned_and_variable())});
  }
}

Test(stepping, jumps_out_of_frames, .init = stepper_start) {
  for (const Variant& variant : kVariants) {
    check(variant.name, variant.jump, Ways::each_at_every_instruction, 300, {end_of_longjmp()});
  }
}

Test(stepping, exceptions, .init = stepper_start) {
  for (const Variant& variant : kVariants) {
    check(variant.name, variant.throw_through, Ways::cold_now_and_then, 30'000, {installing_the_context()});
  }
}

Test(stepping, into_a_signal_handler_and_back, .init = stepper_start) {
  struct sigaction action = {};
  action.sa_sigaction = on_user_signal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &action, nullptr);
  const Exception in_each = after_leave(optimized::realigned_and_variable());
  check("raise", raise_signal, Ways::each_at_every_instruction, 4000,
        {{in_each.why, in_each.is_of_it, 2 * in_each.at_most}});
}

Test(stepping, assembler_of_the_c_library, .init = stepper_start) {
  check("memory and strings", call_assembler, Ways::cold_now_and_then, 100'000, {});
}

Test(stepping, c_library, .init = stepper_start) {
  check("qsort", call_qsort, Ways::each_at_every_instruction, 10'000, {});
  check("calls", call_library, Ways::cold_now_and_then, 10'000, {});
}

// Calls are bound when they are made (Makefile): the first pass goes through the loader.
Test(stepping, lazily_bound_calls, .init = stepper_start) {
  const Stepped stepped = step_through(call_library, Ways::each_at_every_instruction);
  cr_assert_geq(stepped.in_loader, 3000u, "%lu", stepped.in_loader);
  cr_assert_eq(stepped.wrong, 0u);
}

Test(stepping, cpp_library, .init = stepper_start) {
  check("streams, strings, sorting, regular expressions", call_cpp_library, Ways::cold_now_and_then, 100'000, {});
}

Test(stepping, loader, .init = stepper_start) {
  check("dlopen and dlclose", load_and_unload, Ways::cold_now_and_then, 10'000, {code_without_tables()});
}
