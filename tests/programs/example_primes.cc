// Counts the prime numbers up to N. Profiles itself where it is asked to, and libprof.so is preloaded:
//
//   g++ -O2 -g -I preload tests/programs/example_primes.cc -o primes
//   LD_PRELOAD=$PWD/build/libprof.so ./primes -cpu cpu.prof -memory memory.prof 5000000
//   build/prof top cpu.prof
// build: -I preload
#include <prof.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <vector>

// One allocation for each prime: something for the memory profile to show.
struct Prime {
  unsigned long value;
};
using Primes = std::vector<std::unique_ptr<Prime>>;

__attribute__((noinline)) static bool is_prime(unsigned long number, const Primes &smaller) {
  for (const auto &prime : smaller) {
    if (prime->value * prime->value > number) return true;
    if (number % prime->value == 0) return false;
  }
  return true;
}

__attribute__((noinline)) static Primes find_primes(unsigned long last) {
  Primes primes;
  for (unsigned long number = 2; number <= last; ++number) {
    if (is_prime(number, primes)) primes.push_back(std::make_unique<Prime>(Prime{number}));
  }
  return primes;
}

static void check(const char *what, int error) {
  if (error != PROF_OK) fprintf(stderr, "primes: %s: %s\n", what, prof_error_text(error));
}

int main(int argc, char **argv) {
  const char *cpu = nullptr;
  const char *memory = nullptr;
  unsigned long last = 5000000;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "-cpu") == 0 && i + 1 < argc) {
      cpu = argv[++i];
    } else if (strcmp(argv[i], "-memory") == 0 && i + 1 < argc) {
      memory = argv[++i];
    } else {
      last = strtoul(argv[i], nullptr, 10);
    }
  }
  if (memory != nullptr) check("-memory", prof_set_rate("heap", PROF_RATE_HEAP));
  if (cpu != nullptr) check("-cpu", prof_start_cpu(cpu));
  const Primes primes = find_primes(last);
  if (cpu != nullptr) check("-cpu", prof_stop_cpu());
  if (memory != nullptr) check("-memory", prof_write("heap", memory));
  printf("%zu primes up to %lu\n", primes.size(), last);
  return 0;
}
