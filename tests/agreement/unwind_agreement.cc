// A library to preload, for tests: at every millisecond of CPU time of a thread it takes the stack from the same registers by
// capture(), by capture() with the thread's last walk, and by libunwind's own stepping of the real stack (slow_walk), which is the
// oracle, and counts where they agree. Of every address that it meets in a stack it also compares the rule that our reading of the
// tables gives with the one that libunwind gives. At exit it writes the counts, as JSON, to UNWIND_AGREEMENT.PID.
//
// A third one, libgcc's, shares nothing with us and tells of the stacks that capture() has to step by libunwind too
// (UNWIND_AGREEMENT_LIBGCC=1). It reads whatever the tables point to, so it is not for a program that throws: while a jump to a
// handler is prepared, registers of one frame are saved in another.
//
// UNWIND_AGREEMENT_BY: where capture() has its rules from: tables (unless set), libunwind, frame_pointers.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/raw_syscall.h"
#include "core/unwind/code_lookup.h"
#include "core/unwind/rule_cache.h"
#include "core/unwind/rule_from_libunwind.h"
#include "core/unwind/rule_from_tables.h"
#include "core/unwind/slow_walk.h"
#include "core/unwind/unwind.h"

using namespace prof;

namespace {

constexpr unsigned kDepth = 4096;
constexpr unsigned kExamples = 40;
constexpr unsigned kAddressBits = 16;
constexpr uint64_t kPeriodNs = 1'000'000;

struct Stack {
  uint64_t frames[kDepth];
  unsigned count;
  StackEnd end;
};

enum Kind { kAgrees, kLonger, kShorter, kDifferent, kKinds };
constexpr const char* kKindNames[kKinds] = {"agree", "longer", "shorter", "different"};

struct StackExample {
  Kind kind;
  const char* between;
  unsigned same;  // frames, from the leaf on
  uint64_t leaf;
  uint64_t last_same;  // lookup addresses; 0: none
  uint64_t ours;
  uint64_t theirs;
  StackEnd our_end;
  StackEnd their_end;
};

struct RuleExample {
  uint64_t address;
  uint64_t tables;
  uint64_t libunwind;
};

struct Counts {
  uint64_t samples;
  uint64_t kinds[kKinds];
  uint64_t by_memo[kKinds];
  uint64_t by_libgcc[kKinds];
  uint64_t our_ends[8];
  uint64_t their_ends[8];
  uint64_t frames;
  uint64_t by_libunwind;  // capture() had to step by libunwind as well
  uint64_t rules;
  uint64_t cached_rules;
  uint64_t different_rules;
  uint64_t skipped;  // another thread's was being taken
  unsigned stack_examples;
  unsigned rule_examples;
  StackExample stacks[kExamples];
  RuleExample different[kExamples];
};

// One sample at a time: all of this is its.
std::atomic_flag g_busy = ATOMIC_FLAG_INIT;
Stack g_ours, g_along_memo, g_theirs, g_by_libgcc;
Counts g_counts;
uint64_t g_addresses[1 << kAddressBits];  // met so far

std::string* g_file;
pid_t g_pid;
bool g_by_tables = true;
bool g_asks_libgcc = false;
__thread StackBounds t_bounds __attribute__((tls_model("initial-exec")));

// Whether it is met for the first time.
bool is_new(uint64_t address) {
  uint64_t at = (address * 0x9e37'79b9'7f4a'7c15) >> (64 - kAddressBits);
  for (unsigned tries = 0; tries < 16; ++tries) {
    uint64_t& entry = g_addresses[at];
    if (entry == address) return false;
    if (entry == 0) {
      entry = address;
      return true;
    }
    at = (at + 1) & ((1 << kAddressBits) - 1);
  }
  return false;
}

void compare_rules(uint64_t pc, uint64_t lookup) {
  if (!is_new(lookup)) return;
  const UnwindRule theirs = rule_from_libunwind(pc, lookup);
  const UnwindRule ours = rule_from_tables(pc, lookup).rule;
  // What the walks left there, worked out for this address or for a neighbour.
  const UnwindRule cached = g_by_tables ? rule_cache_find(lookup, rule_cache_generation()) : UnwindRule();
  ++g_counts.rules;
  const bool is_cached = cached.kind() != RuleKind::none;
  if (is_cached) ++g_counts.cached_rules;
  if (ours.word() == theirs.word() && (!is_cached || cached.word() == theirs.word())) return;
  ++g_counts.different_rules;
  if (g_counts.rule_examples == kExamples) return;
  g_counts.different[g_counts.rule_examples++] = {lookup, ours.word() != theirs.word() ? ours.word() : cached.word(),
                                                  theirs.word()};
}

bool visit(void*, uint64_t pc, bool is_return_address) {
  if (g_theirs.count == kDepth) return false;
  const uint64_t lookup = (is_return_address ? lookup_of_return(pc) : lookup_of_pc(pc)).value;
  g_theirs.frames[g_theirs.count++] = lookup;
  compare_rules(pc, lookup);
  return true;
}

// A frame that no rule holds. Such a stack is taken by slow_walk itself, and its agreement says little.
bool has_complex_frame() {
  const uint32_t generation = rule_cache_generation();
  return std::any_of(g_theirs.frames, g_theirs.frames + g_theirs.count,
                     [&](uint64_t lookup) { return rule_cache_find(lookup, generation).kind() == RuleKind::complex; });
}

// Of the handler's own callers, those from the interrupted frame on.
_Unwind_Reason_Code visit_by_libgcc(struct _Unwind_Context* frame, void* interrupted) {
  int is_exact = 0;
  const uint64_t pc = _Unwind_GetIPInfo(frame, &is_exact);
  const uint64_t lookup = (is_exact != 0 ? lookup_of_pc(pc) : lookup_of_return(pc)).value;
  if (g_by_libgcc.count == 0 && (is_exact == 0 || pc != *static_cast<const uint64_t*>(interrupted)))
    return _URC_NO_REASON;
  if (g_by_libgcc.count < kDepth && pc != 0) g_by_libgcc.frames[g_by_libgcc.count++] = lookup;
  return _URC_NO_REASON;
}

Kind compare(const char* between, const Stack& ours, const Stack& theirs) {
  const unsigned both = std::min(ours.count, theirs.count);
  unsigned same = 0;
  while (same < both && ours.frames[same] == theirs.frames[same]) ++same;
  Kind kind = kDifferent;
  if (same == both) kind = ours.count == theirs.count ? kAgrees : ours.count > both ? kLonger : kShorter;
  if (kind != kAgrees && g_counts.stack_examples < kExamples) {
    const auto frame = [](const Stack& stack, unsigned i) { return i < stack.count ? stack.frames[i] : 0; };
    g_counts.stacks[g_counts.stack_examples++] = {kind,
                                                  between,
                                                  same,
                                                  ours.frames[0],
                                                  same == 0 ? 0 : ours.frames[same - 1],
                                                  frame(ours, same),
                                                  frame(theirs, same),
                                                  ours.end,
                                                  theirs.end};
  }
  return kind;
}

void on_tick(int, siginfo_t*, void* raw) {
  const int saved = errno;
  const auto& context = *static_cast<const ucontext_t*>(raw);
  if (g_busy.test_and_set()) {
    ++g_counts.skipped;
    return;
  }
  const auto take = [](Stack* to, const CaptureResult& result) {
    to->count = result.frames;
    to->end = result.end;
  };
  take(&g_along_memo, capture(context, t_bounds, static_cast<unsigned>(raw_gettid()), g_along_memo.frames, kDepth));
  take(&g_ours, capture(context, t_bounds, g_ours.frames, kDepth));
  ReadableMemory memory(context, t_bounds);
  g_theirs.count = 0;
  g_theirs.end = slow_walk(context, &memory, visit, nullptr);
  ++g_counts.samples;
  g_counts.frames += g_ours.count;
  if (has_complex_frame()) ++g_counts.by_libunwind;
  ++g_counts.kinds[compare("rules, libunwind", g_ours, g_theirs)];
  ++g_counts.by_memo[compare("memo, libunwind", g_along_memo, g_theirs)];
  if (g_asks_libgcc) {
    auto pc = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
    g_by_libgcc.count = 0;
    _Unwind_Backtrace(visit_by_libgcc, &pc);
    ++g_counts.by_libgcc[compare("rules, libgcc", g_ours, g_by_libgcc)];
  }
  ++g_counts.our_ends[static_cast<unsigned>(g_ours.end)];
  ++g_counts.their_ends[static_cast<unsigned>(g_theirs.end)];
  g_busy.clear();
  errno = saved;
}

// A perf event of the thread's CPU time; where there are none, a timer, as fast as the kernel's tick.
void start_clock() {
  struct perf_event_attr attr = {};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof(attr);
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.sample_period = kPeriodNs;
  attr.exclude_hv = 1;
  attr.wakeup_events = 1;
  const int tid = raw_gettid();
  const long low = raw_syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
  if (low >= 0) {
    constexpr int kOutOfTheWay = 600;
    const long fd = raw_syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, kOutOfTheWay);
    raw_syscall(SYS_close, low);
    const struct f_owner_ex owner = {F_OWNER_TID, tid};
    mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(fd), 0);
    raw_syscall(SYS_fcntl, fd, F_SETOWN_EX, &owner);
    raw_syscall(SYS_fcntl, fd, F_SETSIG, SIGPROF);
    raw_syscall(SYS_fcntl, fd, F_SETFL, O_ASYNC);
    return;
  }
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event._sigev_un._tid = tid;
  timer_t timer;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) return;
  const struct itimerspec every = {{0, static_cast<long>(kPeriodNs)}, {0, static_cast<long>(kPeriodNs)}};
  timer_settime(timer, 0, &every, nullptr);
}

void begin_thread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t bytes = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  t_bounds = {reinterpret_cast<uint64_t>(low), reinterpret_cast<uint64_t>(low) + bytes};
  start_clock();
}

struct Start {
  void* (*routine)(void*);
  void* argument;
};

void* run_thread(void* raw) {
  const Start start = *static_cast<Start*>(raw);
  free(raw);
  begin_thread();
  return start.routine(start.argument);
}

std::string place_of(uint64_t address) {
  if (address == 0) return "";
  Dl_info info;
  char text[32];
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0) {
    snprintf(text, sizeof(text), "%#lx", address);
    return text;
  }
  const char* file = strrchr(info.dli_fname, '/');
  snprintf(text, sizeof(text), "+%#lx", address - reinterpret_cast<uint64_t>(info.dli_fbase));
  std::string place = (file != nullptr ? file + 1 : info.dli_fname) + std::string(text);
  if (info.dli_sname != nullptr) place += std::string(" ") + info.dli_sname;
  return place;
}

template <size_t count>
void print_numbers(FILE* out, const char* name, const uint64_t (&numbers)[count]) {
  fprintf(out, ", \"%s\": [", name);
  for (size_t i = 0; i < count; ++i) fprintf(out, "%s%lu", i == 0 ? "" : ", ", numbers[i]);
  fprintf(out, "]");
}

void print_kinds(FILE* out, const char* name, const uint64_t* kinds) {
  fprintf(out, ", \"%s\": {", name);
  for (int i = 0; i < kKinds; ++i) fprintf(out, "%s\"%s\": %lu", i == 0 ? "" : ", ", kKindNames[i], kinds[i]);
  fprintf(out, "}");
}

void print(FILE* out) {
  const Counts& c = g_counts;
  fprintf(out, "{\"program\": \"%s\", \"samples\": %lu, \"frames\": %lu, \"skipped\": %lu, \"by_libunwind\": %lu",
          program_invocation_short_name, c.samples, c.frames, c.skipped, c.by_libunwind);
  print_kinds(out, "kinds", c.kinds);
  print_kinds(out, "by_memo", c.by_memo);
  print_kinds(out, "by_libgcc", c.by_libgcc);
  print_numbers(out, "our_ends", c.our_ends);
  print_numbers(out, "their_ends", c.their_ends);
  fprintf(out, ", \"rules\": %lu, \"cached_rules\": %lu, \"different_rules\": %lu, \"stack_examples\": [", c.rules,
          c.cached_rules, c.different_rules);
  for (unsigned i = 0; i < c.stack_examples; ++i) {
    const StackExample& e = c.stacks[i];
    fprintf(
        out,
        "%s\n{\"kind\": \"%s\", \"between\": \"%s\", \"same\": %u, \"leaf\": \"%s\", \"last_same\": \"%s\", \"ours\": "
        "\"%s\", "
        "\"theirs\": \"%s\", \"our_end\": %lu, \"their_end\": %lu}",
        i == 0 ? "" : ",", kKindNames[e.kind], e.between, e.same, place_of(e.leaf).c_str(),
        place_of(e.last_same).c_str(), place_of(e.ours).c_str(), place_of(e.theirs).c_str(),
        static_cast<uint64_t>(e.our_end), static_cast<uint64_t>(e.their_end));
  }
  fprintf(out, "], \"rule_examples\": [");
  for (unsigned i = 0; i < c.rule_examples; ++i) {
    const RuleExample& e = c.different[i];
    fprintf(out, "%s\n{\"at\": \"%s\", \"ours\": \"%016lx\", \"theirs\": \"%016lx\"}", i == 0 ? "" : ",",
            place_of(e.address).c_str(), e.tables, e.libunwind);
  }
  fprintf(out, "]}\n");
}

__attribute__((constructor)) void begin() {
  const char* file = getenv("UNWIND_AGREEMENT");
  if (file == nullptr) return;
  const char* by = getenv("UNWIND_AGREEMENT_BY");
  Unwinder unwinder = Unwinder::tables;
  if (by != nullptr && strcmp(by, "libunwind") == 0) unwinder = Unwinder::libunwind;
  if (by != nullptr && strcmp(by, "frame_pointers") == 0) unwinder = Unwinder::frame_pointers;
  const char* asks_libgcc = getenv("UNWIND_AGREEMENT_LIBGCC");
  g_asks_libgcc = asks_libgcc != nullptr && *asks_libgcc == '1';
  g_by_tables = unwinder == Unwinder::tables;
  g_pid = getpid();
  g_file = new std::string(file + std::string(".") + std::to_string(g_pid));
  unwind_start({}, unwinder);
  rule_from_libunwind_start();
  struct sigaction action = {};
  action.sa_sigaction = on_tick;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  sigaction(SIGPROF, &action, nullptr);
  begin_thread();
}

__attribute__((destructor)) void end() {
  if (g_file == nullptr || g_pid != getpid()) return;
  signal(SIGPROF, SIG_IGN);
  while (g_busy.test_and_set()) usleep(100);
  FILE* out = fopen(g_file->c_str(), "w");
  if (out == nullptr) return;
  print(out);
  fclose(out);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*routine)(void*), void* argument) noexcept {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  if (g_file == nullptr) return real(thread, attributes, routine, argument);
  auto* start = static_cast<Start*>(malloc(sizeof(Start)));
  if (start == nullptr) return EAGAIN;
  *start = {routine, argument};
  const int result = real(thread, attributes, run_thread, start);
  if (result != 0) free(start);
  return result;
}
