#include "tests/unit/unwind/stepper.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/unwind/rule_cache.h"
#include "core/unwind/unwind.h"

// Calls function with the trap flag set. The first trap is at its first instruction (none comes between popfq and what follows), the
// last ones are behind its return.
extern "C" void prof_call_stepping(void (*function)());
asm(R"(
  .text
  .globl prof_call_stepping
  .type prof_call_stepping, @function
prof_call_stepping:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register 6
  pushfq
  orq $0x100, (%rsp)
  popfq
  call *%rdi
  pushfq
  andq $~0x100, (%rsp)
  popfq
  popq %rbp
  .cfi_def_cfa 7, 8
  ret
  .cfi_endproc
  .size prof_call_stepping, . - prof_call_stepping
)");

namespace prof {
namespace {

constexpr unsigned kDepth = 1000;
constexpr unsigned kThread = 7;
constexpr unsigned kMaxExamples = 4000;
constexpr unsigned kExampleDepth = 40;
constexpr uint64_t kLoaderBytes = 160 << 10;  // its code is within

struct ShadowEntry {
  uint64_t slot;    // where the return address is
  uint64_t lookup;  // what capture() is to say
};

struct Example {
  Way way;
  StackEnd end;
  unsigned expected_frames;
  unsigned found_frames;
  uint64_t expected[kExampleDepth];
  uint64_t found[kExampleDepth];
};

// Everything that the handler writes. One thread steps at a time.
struct State {
  ShadowEntry shadow[kDepth];  // outermost first
  unsigned depth;
  uint64_t last_pc;
  uint64_t last_sp;
  bool has_begun;
  unsigned cold_every;  // instructions; 1: no other ways
  Unwinder unwinder;
  StackBounds bounds;
  uint64_t loader;
  uint64_t expected[kDepth];
  uint64_t found[kDepth];
  uint64_t instructions;
  uint64_t in_loader;
  uint64_t stacks;
  uint64_t wrong;
  unsigned examples;
  Example example[kMaxExamples];
};
State g;

bool is_call(uint64_t pc) {
  const auto* code = reinterpret_cast<const uint8_t*>(pc);
  const auto is_prefix = [](uint8_t byte) {
    return (byte & 0xf0) == 0x40 || byte == 0x66 || byte == 0x67 || byte == 0x3e || byte == 0x64 || byte == 0xf2;
  };
  while (is_prefix(*code)) ++code;
  return *code == 0xe8 || (*code == 0xff && (code[1] >> 3 & 7) == 2);
}

void follow(uint64_t pc, uint64_t sp) {
  while (g.depth != 0 && g.shadow[g.depth - 1].slot < sp) --g.depth;
  if (g.last_pc != 0 && sp == g.last_sp - 8 && is_call(g.last_pc) && g.depth < kDepth) {
    const uint64_t pushed = *reinterpret_cast<const uint64_t*>(sp);
    constexpr uint64_t kLongestInstruction = 15;
    if (pushed - g.last_pc <= kLongestInstruction) g.shadow[g.depth++] = {sp, pushed - 1};
  }
  g.last_pc = pc;
  g.last_sp = sp;
}

// At the first instruction of the function that is stepped through: its return address, and that of prof_call_stepping.
void begin(const ucontext_t& context) {
  const auto sp = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RSP]);
  const auto bp = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RBP]);
  for (const uint64_t slot : {bp + 8, sp}) g.shadow[g.depth++] = {slot, *reinterpret_cast<const uint64_t*>(slot) - 1};
  g.has_begun = true;
}

void compare(Way way, const CaptureResult& result, unsigned expected) {
  ++g.stacks;
  if (result.frames == expected && result.end == StackEnd::complete &&
      memcmp(g.found, g.expected, expected * sizeof(uint64_t)) == 0) {
    return;
  }
  ++g.wrong;
  if (g.examples == kMaxExamples) return;
  Example& example = g.example[g.examples++];
  example.way = way;
  example.end = result.end;
  example.expected_frames = expected;
  example.found_frames = result.frames;
  memcpy(example.expected, g.expected, sizeof(example.expected));
  memcpy(example.found, g.found, sizeof(example.found));
}

void on_trap(int, siginfo_t*, void* raw) {
  const auto& context = *static_cast<const ucontext_t*>(raw);
  const auto pc = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
  if (!g.has_begun) begin(context);
  follow(pc, static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RSP]));
  unsigned expected = 0;
  g.expected[expected++] = pc;
  for (unsigned i = g.depth; i > 0; --i) g.expected[expected++] = g.shadow[i - 1].lookup;
  ++g.instructions;
  if (pc - g.loader < kLoaderBytes) ++g.in_loader;
  if (g.cold_every != 1) {
    compare(Way::memo, capture(context, g.bounds, kThread, g.found, kDepth), expected);
    compare(Way::warm, capture(context, g.bounds, g.found, kDepth), expected);
  }
  if (g.instructions % g.cold_every == 0) {
    rule_cache_forget();
    compare(g.unwinder == Unwinder::libunwind ? Way::libunwind : Way::cold, capture(context, g.bounds, g.found, kDepth),
            expected);
  }
}

// As objdump and readelf have it: local functions have no names at run time, and those of others would be given for them.
std::string place_of(uint64_t address) {
  Dl_info info;
  char text[32];
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0) {
    snprintf(text, sizeof(text), "%#lx", address);
    return text;
  }
  const char* file = strrchr(info.dli_fname, '/');
  snprintf(text, sizeof(text), "+%#lx", address - reinterpret_cast<uint64_t>(info.dli_fbase));
  return (file != nullptr ? file + 1 : info.dli_fname) + std::string(text);
}

std::string places_of(const uint64_t* addresses, unsigned count) {
  std::string places;
  for (unsigned i = 0; i < count && i < kExampleDepth; ++i) {
    if (i != 0) places += " < ";
    places += place_of(addresses[i]);
  }
  return places;
}

StackBounds stack_of_this_thread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t bytes = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uint64_t>(low), reinterpret_cast<uint64_t>(low) + bytes};
}

}  // namespace

void stepper_start() {
  constexpr size_t kStackBytes = 1 << 20;
  stack_t stack = {};
  stack.ss_sp = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  sigaction(SIGTRAP, &action, nullptr);
  g.loader = getauxval(AT_BASE);
  g.bounds = stack_of_this_thread();
  void* warm[4];
  backtrace(warm, 4);  // loads libgcc_s
}

// In one go: what is cached, and what was walked last, is of the instruction before.
__attribute__((noinline)) static void step_once(void (*function)(), unsigned cold_every, Unwinder unwinder) {
  unwind_start({}, unwinder);
  rule_cache_forget();
  g.cold_every = cold_every;
  g.unwinder = unwinder;
  g.has_begun = false;
  g.depth = 0;
  g.last_pc = 0;
  void* callers[64];
  const int count = backtrace(callers, 64);
  constexpr uint64_t kNeverLeft = ~uint64_t{0};
  // From this function's caller on: what is before depends on whose backtrace() it is.
  int first = 0;
  while (first < count && callers[first] != __builtin_return_address(0)) ++first;
  for (int i = count - 1; i >= first; --i)
    g.shadow[g.depth++] = {kNeverLeft, reinterpret_cast<uint64_t>(callers[i]) - 1};
  prof_call_stepping(function);
}

Stepped step_through(void (*function)(), Ways ways) {
  g.instructions = g.in_loader = g.stacks = g.wrong = g.examples = 0;
  constexpr unsigned kSometimes = 13;
  step_once(function, kSometimes, Unwinder::tables);
  if (ways == Ways::each_at_every_instruction) {
    step_once(function, 1, Unwinder::tables);
    step_once(function, 1, Unwinder::libunwind);
  }
  Stepped stepped{g.instructions, g.in_loader, g.stacks, g.wrong, {}};
  for (unsigned i = 0; i < g.examples; ++i) {
    const Example& example = g.example[i];
    stepped.examples.push_back({example.way, example.end, example.expected[0], place_of(example.expected[0]),
                                places_of(example.expected, example.expected_frames),
                                places_of(example.found, example.found_frames)});
  }
  return stepped;
}

void note_handler(const void* frame, const ucontext_t* interrupted) {
  const auto slot = reinterpret_cast<uint64_t>(frame) + 8;
  // What the handler returns to is there until the signal's frame is gone, which begins with the context.
  g.shadow[g.depth++] = {reinterpret_cast<uint64_t>(interrupted),
                         static_cast<uint64_t>(interrupted->uc_mcontext.gregs[REG_RIP])};
  g.shadow[g.depth++] = {slot, *reinterpret_cast<const uint64_t*>(slot) - 1};
  g.last_pc = 0;
}

}  // namespace prof
