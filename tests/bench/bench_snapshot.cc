// What a snapshot costs a program that goes on allocating: bench_snapshot keeps 100 000 blocks from 1000 stacks, then loops over small
// allocations until the file named by its argument is there, and prints the longest time between two of them, in us, before the
// signal and after it; and the time from the signal to the file, in ms.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void* g_blocks[100'000];

// A stack of its own for each of 1024 paths: a call at every bit.
__attribute__((noinline)) void* allocate(unsigned path, unsigned bits) {
  void* block = bits == 0          ? malloc(100)
                : (path & 1u) != 0 ? allocate(path >> 1, bits - 1)
                                   : allocate(path >> 1, bits - 1);
  asm volatile("" : "+r"(block));
  return block;
}

double longest_gap_us(const char* file, double at_least_us) {
  const double start = now_us();
  double last = start;
  double longest = 0;
  for (unsigned i = 0;; ++i) {
    void* volatile block = malloc(64);
    free(block);
    const double now = now_us();
    longest = std::max(longest, now - last);
    last = now;
    struct stat there;
    if (i % 1024 == 0 && now - start > at_least_us && (file == nullptr || stat(file, &there) == 0)) return longest;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (unsigned i = 0; i < 100'000; ++i) g_blocks[i] = allocate(i % 1024, 10);
  const double before = longest_gap_us(nullptr, 200'000);
  const double start = now_us();
  kill(getpid(), SIGUSR2);
  const double during = longest_gap_us(argv[1], 0);
  printf("%.0f %.0f %.1f\n", before, during, (now_us() - start) / 1000);
}
