#include <criterion/criterion.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/unwind/readable_memory.h"
#include "core/unwind/unwind.h"
#include "preload/valgrind.h"

using namespace prof;

#ifdef UNDER_A_TOOL
constexpr int kRandomInstructions = 10;
constexpr int kRandomStacks = 4000;
#else
constexpr int kRandomInstructions = 100;
constexpr int kRandomStacks = 200'000;
#endif

namespace {

constexpr unsigned kDepth = 200;

struct Captured {
  CaptureResult result;
  uint64_t frames[kDepth];
  void* oracle[kDepth];
  int oracle_frames = 0;
};
Captured g_captured;

// glibc's backtrace (libgcc's unwinder) from within the handler is the oracle: it goes through the signal frame.
void on_signal(int, siginfo_t*, void* context) {
  g_captured.result = capture(*static_cast<ucontext_t*>(context), {}, g_captured.frames, kDepth);
  g_captured.oracle_frames = backtrace(g_captured.oracle, kDepth);
}

void start(CodeRange own_code) {
  if (is_under_valgrind()) unwind_read_by_copies();
  unwind_start(own_code);
}

void install(int signal, CodeRange own_code = {}) {
  void* warm[4];
  backtrace(warm, 4);  // loads libgcc_s outside a handler
  start(own_code);
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(signal, &action, nullptr);
}

// The oracle's frames from the interrupted one on. It gives return addresses, and the leaf's exact one.
void compare_with_oracle() {
  const Captured& c = g_captured;
  int start = -1;
  for (int i = 0; i < c.oracle_frames && start < 0; ++i) {
    if (reinterpret_cast<uint64_t>(c.oracle[i]) == c.frames[0]) start = i;
  }
  cr_assert_geq(start, 0, "the interrupted frame is in the oracle's stack");
  cr_assert_eq(static_cast<int>(c.result.frames), c.oracle_frames - start);
  for (unsigned i = 1; i < c.result.frames; ++i) {
    cr_assert_eq(c.frames[i], reinterpret_cast<uint64_t>(c.oracle[static_cast<unsigned>(start) + i]) - 1, "frame %u",
                 i);
  }
  cr_assert(c.result.end == StackEnd::complete);
}

__attribute__((noinline)) void descend(int depth) {
  if (depth == 0) {
    raise(SIGUSR1);
  } else {
    descend(depth - 1);
  }
  asm volatile("");
}

int compare_and_raise(const void* a, const void* b) {
  raise(SIGUSR1);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

}  // namespace

Test(capture, agrees_with_the_oracle_through_recursion) {
  install(SIGUSR1);
  for (const int depth : {0, 1, 10, 50}) {
    descend(depth);
    compare_with_oracle();
  }
}

Test(capture, agrees_with_the_oracle_through_a_library) {
  install(SIGUSR1);
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof(int), compare_and_raise);
  compare_with_oracle();
}

Test(capture, agrees_with_the_oracle_at_random_instructions) {
  install(SIGPROF);
  unsigned seed = 1;
  int compared = 0;
  const struct itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &every, nullptr);
  sigset_t profiling;
  sigemptyset(&profiling);
  sigaddset(&profiling, SIGPROF);
  while (compared < kRandomInstructions) {
    std::vector<std::string> words;
    for (int i = 0; i < 3000; ++i) words.push_back(std::to_string(rand_r(&seed)));
    std::sort(words.begin(), words.end());
    sigprocmask(SIG_BLOCK, &profiling, nullptr);
    if (g_captured.oracle_frames != 0) {
      compare_with_oracle();
      g_captured.oracle_frames = 0;
      ++compared;
    }
    sigprocmask(SIG_UNBLOCK, &profiling, nullptr);
  }
}

Test(capture, deeper_than_its_room_is_marked) {
  install(SIGUSR1);
  descend(500);
  cr_assert_eq(g_captured.result.frames, kDepth);
  cr_assert(g_captured.result.end == StackEnd::too_deep);
}

Test(capture, own_code_is_left_out) {
  Dl_info info;
  dladdr(reinterpret_cast<void*>(descend), &info);
  const auto base = reinterpret_cast<uint64_t>(info.dli_fbase);
  install(SIGUSR1, {base, base + (64 << 20)});
  descend(10);
  for (unsigned i = 0; i < g_captured.result.frames; ++i) {
    cr_assert(g_captured.frames[i] < base || g_captured.frames[i] >= base + (64 << 20));
  }
}

// Garbage in every register: it must stop and say why, and never fault.
Test(capture, survives_any_registers_and_any_stack) {
  start({});
  std::mt19937_64 random(7);
  ucontext_t context = {};
  getcontext(&context);
  auto& registers = context.uc_mcontext.gregs;
  const ucontext_t real = context;
  std::vector<uint64_t> stack(4096);
  auto* inaccessible = static_cast<char*>(mmap(nullptr, 4096 * 3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(inaccessible, 4096, PROT_READ | PROT_WRITE);
  const auto code = reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "qsort"));
  const uint64_t tempting[] = {0,
                               8,
                               4095,
                               code,
                               code + 3,
                               reinterpret_cast<uint64_t>(stack.data()),
                               reinterpret_cast<uint64_t>(inaccessible + 4088),
                               reinterpret_cast<uint64_t>(inaccessible + 4096),
                               ~uint64_t{0},
                               0x8000'0000'0000'0000,
                               0x7fff'ffff'fff8};
  uint64_t frames[kDepth];
  for (int round = 0; round < kRandomStacks; ++round) {
    context = real;
    const auto pick = [&]() -> uint64_t {
      switch (random() % 4) {
        case 0:
          return random();
        case 1:
          return tempting[random() % std::size(tempting)];
        case 2:
          return code + random() % 100'000;
        default:
          return reinterpret_cast<uint64_t>(stack.data()) + random() % (stack.size() * 8);
      }
    };
    for (int r = 0; r < 17; ++r) registers[r] = static_cast<greg_t>(pick());
    for (int i = 0; i < 64; ++i) stack[random() % stack.size()] = pick();
    const CaptureResult result = capture(context, {}, frames, kDepth);
    cr_assert_leq(result.frames, kDepth);
    cr_assert_geq(result.frames, 1u);
  }
}

Test(readable_memory, asks_the_kernel_without_effect) {
  start({});
  auto* pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(pages + 4096, 4096, PROT_NONE);
  sigset_t before;
  sigset_t after;
  memset(&before, 0, sizeof(before));
  memset(&after, 0, sizeof(after));
  sigprocmask(SIG_BLOCK, nullptr, &before);
  errno = 77;
  cr_assert(probe_readable(reinterpret_cast<uint64_t>(pages)));
  cr_assert_not(probe_readable(reinterpret_cast<uint64_t>(pages + 4096)));
  cr_assert_not(probe_readable(16));
  cr_assert_eq(errno, 77);
  sigprocmask(SIG_BLOCK, nullptr, &after);
  cr_assert_eq(memcmp(&before, &after, sizeof(before)), 0);
}

// The sum of such a stack pointer and a word's size is a small number: all addresses seemed to be of its stack.
Test(readable_memory, a_stack_pointer_at_the_end_of_the_address_space_has_no_stack) {
  uint64_t value;
  for (uint64_t below_end = 1; below_end <= 16; ++below_end) {
    ucontext_t context = {};
    context.uc_stack.ss_flags = SS_DISABLE;
    context.uc_mcontext.gregs[REG_RSP] = -static_cast<greg_t>(below_end);
    ReadableMemory memory(context, {});
    for (const uint64_t address : {uint64_t{0}, uint64_t{167}, uint64_t{0} - below_end, uint64_t{0} - 8}) {
      cr_assert_not(memory.read(address, &value), "%#lx", address);
    }
  }
}
