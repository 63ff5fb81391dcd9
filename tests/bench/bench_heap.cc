// What a heap profile costs, one process a measurement; heap_bench.py runs it under each allocator and profiler.
//   bench_heap pairs BYTES LIVE_BLOCKS THREADS    ns for a malloc and a free: the median of chunks of a fixed time, so that a
//                                                 profiler may be a thousand times slower than another
//   bench_heap stacks COUNT                       KiB resident after an allocation from each of so many distinct stacks

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTime = std::chrono::milliseconds(120);
constexpr int kChunk = 2000;
constexpr size_t kMostChunks = 20000;

// `chunks` has its memory already: nothing but the pairs allocates.
double ns_of_a_pair(size_t bytes, std::vector<double>* chunks) {
  const auto end = Clock::now() + kTime;
  while (chunks->size() < kMostChunks && (chunks->size() < 5 || Clock::now() < end)) {
    const auto start = Clock::now();
    for (int i = 0; i < kChunk; ++i) {
      void* volatile block = malloc(bytes);
      free(block);
    }
    chunks->push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kChunk);
  }
  const auto middle = chunks->begin() + static_cast<long>(chunks->size() / 2);
  std::nth_element(chunks->begin(), middle, chunks->end());
  return *middle;
}

int pairs(size_t bytes, size_t live, size_t count) {
  std::vector<void*> blocks(live);
  for (void*& block : blocks) block = malloc(64);
  std::vector<std::vector<double>> chunks(count);
  for (auto& of_thread : chunks) of_thread.reserve(kMostChunks);
  std::vector<double> results(count);
  std::vector<std::thread> threads;
  for (size_t t = 1; t < count; ++t) threads.emplace_back([&, t] { results[t] = ns_of_a_pair(bytes, &chunks[t]); });
  results[0] = ns_of_a_pair(bytes, &chunks[0]);
  for (auto& thread : threads) thread.join();
  double sum = 0;
  for (const double result : results) sum += result;
  printf("%.3f\n", sum / static_cast<double>(count));
  for (void* block : blocks) free(block);
  return 0;
}

// A stack of its own for each path: one of two calls at every bit. They differ, or the compiler would make one of them.
__attribute__((noinline)) void* allocate(unsigned path, unsigned bits) {
  if (bits == 0) return malloc(100);
  void* block = nullptr;
  if ((path & 1u) != 0) {
    block = allocate(path >> 1, bits - 1);
    asm volatile("" : "+r"(block));
  } else {
    block = allocate(path >> 1, bits - 1);
    asm volatile("nop" : "+r"(block));
  }
  return block;
}

int stacks(unsigned count) {
  unsigned bits = 0;
  while (1u << bits < count) ++bits;
  for (unsigned i = 0; i < count; ++i) {
    void* block = allocate(i, bits);
    asm volatile("" : : "r"(block));
  }
  FILE* status = fopen("/proc/self/status", "r");
  char line[200];
  while (status != nullptr && fgets(line, sizeof line, status) != nullptr)
    if (strncmp(line, "VmRSS:", 6) == 0) printf("%ld\n", atol(line + 6));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && strcmp(argv[1], "pairs") == 0) {
    return pairs(static_cast<size_t>(atol(argv[2])), static_cast<size_t>(atol(argv[3])),
                 static_cast<size_t>(atol(argv[4])));
  }
  if (argc == 3 && strcmp(argv[1], "stacks") == 0) return stacks(static_cast<unsigned>(atoi(argv[2])));
  return 2;
}
