// Odd shapes of frames, each burning CPU under a caller of a known name: shapes SHAPE.
// build: -fomit-frame-pointer -fno-optimize-sibling-calls -mavx
#include <alloca.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "burn.h"

extern "C" {
static volatile double g_sink;

__attribute__((noinline)) void leaf_work() { BURN(0.6); asm volatile(""); }

__attribute__((noinline)) void in_signal_handler(int) { leaf_work(); asm volatile(""); }
__attribute__((noinline)) void shape_signal() {
  signal(SIGUSR1, in_signal_handler);
  raise(SIGUSR1);
  asm volatile("");
}

__attribute__((noinline)) void shape_vdso() {
  struct timespec t;
  const double end = thread_cpu() + 0.6;
  for (unsigned i = 0; i % 4096 != 0 || thread_cpu() < end; ++i) clock_gettime(CLOCK_MONOTONIC, &t);
}

// Calls out of this program go through its PLT.
__attribute__((noinline)) void shape_plt() {
  const double end = thread_cpu() + 0.6;
  for (unsigned i = 0; i % 4096 != 0 || thread_cpu() < end; ++i) g_sink = static_cast<double>(labs(static_cast<long>(i)) + rand());
}

static jmp_buf g_back;
__attribute__((noreturn, noinline)) void never_returns() { leaf_work(); longjmp(g_back, 1); }
// The call is its last instruction: its return address is the next function's first byte.
__attribute__((noinline)) void shape_noreturn_caller() { never_returns(); }
__attribute__((noinline)) void shape_noreturn() {
  if (setjmp(g_back) == 0) shape_noreturn_caller();
}

__attribute__((noinline)) void shape_alloca(int n = 1000) {
  auto* memory = static_cast<char*>(alloca(static_cast<size_t>(n) + static_cast<size_t>(rand() % 64)));
  memset(memory, 1, static_cast<size_t>(n));
  leaf_work();
  g_sink = memory[n / 2];
}

// A 64-byte-aligned local makes the function realign its stack.
__attribute__((noinline)) void shape_aligned(int n = 100) {
  alignas(64) volatile char block[256];
  auto* memory = static_cast<volatile char*>(alloca(static_cast<size_t>(n)));
  block[n] = 1;
  memory[0] = 1;
  leaf_work();
  g_sink = block[n] + memory[0];
}

static int by_value(const void* a, const void* b) { return *static_cast<const int*>(a) - *static_cast<const int*>(b); }
__attribute__((noinline)) void shape_callback() {
  static int numbers[2000];
  const double end = thread_cpu() + 0.6;
  while (thread_cpu() < end) {
    for (int& number : numbers) number = rand();
    qsort(numbers, 2000, sizeof(int), by_value);
  }
}
}

int main(int, char** argv) {
  const struct {
    const char* name;
    void (*run)();
  } shapes[] = {{"signal", shape_signal},     {"vdso", shape_vdso},
                {"plt", shape_plt},           {"noreturn", shape_noreturn},
                {"alloca", [] { shape_alloca(); }}, {"aligned", [] { shape_aligned(); }},
                {"callback", shape_callback}};
  for (const auto& shape : shapes) {
    if (strcmp(argv[1], shape.name) == 0) shape.run();
  }
  puts("done");
}
