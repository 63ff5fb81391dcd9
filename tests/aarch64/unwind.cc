// Walks stacks of its own on aarch64, by core/unwind alone, from signal handlers: one JSON line a walk, with the names of the functions
// ("libc" for its own), why it ended, and whether glibc's backtrace() (libgcc's unwinder) gave the same addresses from the interrupted
// instruction on. Each walk is made three times, of which two keep the thread's last one; they must be the same.
#include "core/unwind/unwind.h"

#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/aarch64/interrupted_at.h"

using namespace prof;

namespace {

constexpr unsigned kCapacity = 100;
const char* g_case = "";
thread_local StackBounds t_bounds;
unsigned g_random_walks;
unsigned g_random_differences;

struct Walked {
  uint64_t frames[kCapacity];
  CaptureResult result;
  bool is_same = true;  // each time
};

bool is_same(const Walked& a, const uint64_t* frames, const CaptureResult& result) {
  return a.result.frames == result.frames && a.result.end == result.end &&
         memcmp(a.frames, frames, result.frames * sizeof(uint64_t)) == 0;
}

// again: captures once more, keeping the last walk.
template <typename Again>
void walk_again(Walked* walked, Again again) {
  for (int i = 0; i < 2; ++i) {
    uint64_t frames[kCapacity];
    const CaptureResult result = again(frames);
    walked->is_same = walked->is_same && is_same(*walked, frames, result);
  }
}

void walk(const ucontext_t& context, Walked* walked) {
  walked->result = capture(context, t_bounds, walked->frames, kCapacity);
  walk_again(walked, [&](uint64_t* frames) {
    return capture(context, t_bounds, static_cast<unsigned>(gettid()), frames, kCapacity);
  });
}

// How many frames from the interrupted one on backtrace() finds too. (It ends where there is no information.)
unsigned backtrace_agrees(const Walked& walked, uint64_t pc, bool* differs) {
  void* found[kCapacity];
  const int count = backtrace(found, kCapacity);
  int at = 0;
  while (at < count && reinterpret_cast<uint64_t>(found[at]) != pc) ++at;
  unsigned same = 0;
  *differs = false;
  for (; at < count && same < walked.result.frames; ++at, ++same) {
    const auto address = reinterpret_cast<uint64_t>(found[at]);
    // A return address is looked up one byte before.
    if (walked.frames[same] != address && walked.frames[same] != address - 1) *differs = true;
  }
  if (at < count) *differs = true;
  return same;
}

const char* name_of(uint64_t address) {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0) return "nothing";
  if (strstr(info.dli_fname, "libc.so") != nullptr) return "libc";
  return info.dli_sname == nullptr ? info.dli_fname : info.dli_sname;
}

void print(const Walked& walked, unsigned agreed, bool differs) {
  printf("{\"case\": \"%s\", \"end\": %d, \"is_same\": %s, \"agreed\": %u, \"differs\": %s, \"frames\": [", g_case,
         static_cast<int>(walked.result.end), walked.is_same ? "true" : "false", agreed, differs ? "true" : "false");
  for (unsigned i = 0; i < walked.result.frames; ++i) printf("%s\"%s\"", i == 0 ? "" : ", ", name_of(walked.frames[i]));
  printf("]}\n");
}

void on_signal(int, siginfo_t*, void* raw) {
  const auto& context = *static_cast<ucontext_t*>(raw);
  Walked walked;
  walk(context, &walked);
  bool differs = false;
  const unsigned agreed = backtrace_agrees(walked, context.uc_mcontext.pc, &differs);
  print(walked, agreed, differs);
}

// At the load in a linkage stub: from now on it succeeds.
void on_fault(int signal, siginfo_t* info, void* raw) {
  on_signal(signal, info, raw);
  mprotect(interrupted_slot, 65536, PROT_READ | PROT_WRITE);
}

// Anywhere. Nothing is printed here: what was interrupted may be printing.
void on_timer(int, siginfo_t*, void* raw) {
  const auto& context = *static_cast<ucontext_t*>(raw);
  Walked walked;
  walk(context, &walked);
  bool differs = false;
  backtrace_agrees(walked, context.uc_mcontext.pc, &differs);
  ++g_random_walks;
  if (differs || !walked.is_same) ++g_random_differences;
}

void find_bounds() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t bytes = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  t_bounds = {reinterpret_cast<uint64_t>(low), reinterpret_cast<uint64_t>(low) + bytes};
}

void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(signal, &action, nullptr);
}

}  // namespace

// By name, so that dladdr knows them (-rdynamic). None ends in a call: that one would take its place.
#define NAMED extern "C" __attribute__((noinline))
#define STAYS asm volatile("" ::: "memory")

NAMED void raises() {
  raise(SIGUSR1);
  STAYS;
}
NAMED void middle() {
  raises();
  STAYS;
}
NAMED void outer() {
  middle();
  STAYS;
}

NAMED long leaf(long process, long thread) {
  register long x0 asm("x0") = process;
  register long x1 asm("x1") = thread;
  register long x2 asm("x2") = SIGUSR1;
  register long x8 asm("x8") = 131;  // tgkill
  asm volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
  return x0 + 1;
}
NAMED void calls_leaf() {
  leaf(getpid(), gettid());
  STAYS;
}
NAMED void calls_each() {
  each_instruction(getpid(), gettid(), SIGUSR1);
  STAYS;
}
NAMED void calls_each_signed() {
  each_instruction_signed(getpid(), gettid(), SIGUSR1);
  STAYS;
}

NAMED __attribute__((target("branch-protection=pac-ret+leaf"))) void signs_inner() {
  raises();
  STAYS;
}
NAMED __attribute__((target("branch-protection=pac-ret+leaf"))) void signs() {
  signs_inner();
  STAYS;
}

NAMED void on_other_signal(int, siginfo_t*, void*) {
  calls_leaf();
  STAYS;
}
NAMED void is_interrupted() {
  handle(SIGUSR2, on_other_signal, 0);
  raise(SIGUSR2);
  STAYS;
}
NAMED void is_interrupted_aside() {
  handle(SIGUSR2, on_other_signal, SA_ONSTACK);
  static char stack[64 * 1024];
  const stack_t aside = {stack, 0, sizeof(stack)};
  sigaltstack(&aside, nullptr);
  raise(SIGUSR2);
  STAYS;
}

NAMED void has_large_frame() {
  volatile char large[300'000];
  large[0] = 1;
  raises();
  large[sizeof(large) - 1] = 1;
}
NAMED void has_alloca(unsigned bytes) {
  auto* room = static_cast<volatile char*>(alloca(bytes));
  room[0] = 1;
  raises();
  room[bytes - 1] = 1;
}

NAMED int compare(const void* a, const void* b) {
  static bool g_raised = false;
  if (!g_raised) {
    g_raised = true;
    raises();
  }
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
NAMED void sorts() {
  int numbers[] = {5, 2, 4, 1, 3};
  qsort(numbers, 5, sizeof(int), compare);
  STAYS;
}

NAMED void* in_thread(void*) {
  find_bounds();
  outer();
  STAYS;
  return nullptr;
}
NAMED void starts_thread() {
  pthread_t thread;
  pthread_create(&thread, nullptr, in_thread, nullptr);
  pthread_join(thread, nullptr);
}

NAMED void walks_itself() {
  CalleeSaved here;
  asm volatile("mov %3, x30; mov %2, x29; mov %1, sp; adr %0, ."
               : "=&r"(here.pc), "=&r"(here.sp), "=&r"(here.bp), "=&r"(here.lr));
  Walked walked;
  walked.result = capture(here, t_bounds, 0, walked.frames, kCapacity);
  walk_again(&walked, [&](uint64_t* frames) { return capture(here, t_bounds, 0, frames, kCapacity); });
  print(walked, 0, false);
}

void fault_on_the_way_to(void (*function)()) {
  interrupted_slot[0] = reinterpret_cast<void*>(function);
  mprotect(interrupted_slot, 65536, PROT_NONE);
}
NAMED void calls_by_stub() {
  fault_on_the_way_to([] {});
  like_linkage_stub();
  STAYS;
}
// It is not called but jumped to, by the stub of a function, and goes on to what takes its two words from the stack.
NAMED void calls_by_first_stub() {
  fault_on_the_way_to(after_first_stub);
  like_first_stub();
  STAYS;
}

NAMED void calls_without_information() {
  without_information(outer);
  STAYS;
}
NAMED void calls_with_link_forgotten() {
  with_link_forgotten(outer);
  STAYS;
}
NAMED void calls_with_other_base() {
  with_other_base(outer);
  STAYS;
}

// Until enough walks were made at random instructions of it and of libc.
NAMED void works() {
  handle(SIGPROF, on_timer, SA_RESTART);
  struct itimerval timer = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &timer, nullptr);
  for (unsigned i = 0; g_random_walks < 300; ++i) {
    char text[64];
    snprintf(text, sizeof(text), "%u %a", i, static_cast<double>(i));
    int numbers[] = {static_cast<int>(i), 2, 4, 1, 3};
    qsort(numbers, 5, sizeof(int), compare);
  }
  timer = {};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

int main() {
  const struct {
    const char* name;
    void (*run)();
  } cases[] = {{"nested", outer},
               {"leaf", calls_leaf},
               {"each_instruction", calls_each},
               {"each_instruction_signed", calls_each_signed},
               {"signed", signs},
               {"signal", is_interrupted},
               {"signal_aside", is_interrupted_aside},
               {"large_frame", has_large_frame},
               {"alloca", [] { has_alloca(10'000); }},
               {"qsort", sorts},
               {"thread", starts_thread},
               {"own", walks_itself},
               {"linkage_stub", calls_by_stub},
               {"first_stub", calls_by_first_stub},
               {"without_information", calls_without_information},
               {"link_forgotten", calls_with_link_forgotten},
               {"other_base", calls_with_other_base},
               {"random", works}};
  unwind_start({});
  find_bounds();
  void* warm[2];
  backtrace(warm, 2);
  handle(SIGUSR1, on_signal, 0);
  handle(SIGSEGV, on_fault, 0);
  for (const auto& one : cases) {
    g_case = one.name;
    one.run();
  }
  printf("{\"case\": \"random\", \"walks\": %u, \"differences\": %u}\n", g_random_walks, g_random_differences);
  return 0;
}
