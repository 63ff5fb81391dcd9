// ns for a malloc and a free, the best of rounds in one process: bench.py runs it under each allocator and profiler.
// bench_pairs BYTES LIVE_BLOCKS THREADS prints one number.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr int kPairs = 4'000'000;
constexpr int kRounds = 5;

double ns_of_a_pair(size_t bytes) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kPairs; ++i) {
    void* volatile block = malloc(bytes);
    free(block);
  }
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
  return taken.count() / kPairs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto bytes = static_cast<size_t>(atol(argv[1]));
  std::vector<void*> live(static_cast<size_t>(atol(argv[2])));
  for (void*& block : live) block = malloc(64);
  std::vector<double> best(static_cast<size_t>(atoi(argv[3])), 1e9);
  std::vector<std::thread> threads;
  const auto work = [&](double* result) {
    for (int i = 0; i < kRounds; ++i) *result = std::min(*result, ns_of_a_pair(bytes));
  };
  for (size_t t = 1; t < best.size(); ++t) threads.emplace_back(work, &best[t]);
  work(best.data());
  for (auto& thread : threads) thread.join();
  printf("%.3f\n", *std::max_element(best.begin(), best.end()));
  for (void* block : live) free(block);
}
