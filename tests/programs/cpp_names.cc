// Shows C++ names: a member of a template in a namespace, an overloaded operator, a function of an unnamed namespace.
// Argument: CPU seconds of each.
// build: -O2 -fomit-frame-pointer
#include <cstdio>

#include "victim.h"

namespace kitchen {

template <typename Dish>
struct Stove {
  NOT_INLINED uint64_t cook(uint64_t ns);
};

struct Soup {
  static constexpr uint64_t kHeat = 6364136223846793005u;
};

template <typename Dish>
uint64_t Stove<Dish>::cook(uint64_t ns) {
  uint64_t start = thread_cpu_ns(), now = start, x = start | 1;
  while (now - start < ns) {
    for (int i = 0; i < 60000; ++i) {
      x = x * Dish::kHeat + 1;
      __asm__ volatile("" : "+r"(x));
    }
    now = thread_cpu_ns();
  }
  return now - start;
}

struct Knife {
  NOT_INLINED uint64_t operator()(uint64_t ns) const;
};

uint64_t Knife::operator()(uint64_t ns) const {
  uint64_t start = thread_cpu_ns(), now = start, x = start | 1;
  while (now - start < ns) {
    for (int i = 0; i < 60000; ++i) {
      x = x * 2862933555777941757u + 3;
      __asm__ volatile("" : "+r"(x));
    }
    now = thread_cpu_ns();
  }
  return now - start;
}

namespace {

NOT_INLINED uint64_t wash(uint64_t ns) {
  uint64_t start = thread_cpu_ns(), now = start, x = start | 1;
  while (now - start < ns) {
    for (int i = 0; i < 60000; ++i) {
      x = x * 3202034522624059733u + 5;
      __asm__ volatile("" : "+r"(x));
    }
    now = thread_cpu_ns();
  }
  return now - start;
}

}  // namespace
}  // namespace kitchen

int main(int argc, char **argv) {
  const uint64_t ns = seconds(argument(argc, argv, 1, .3));
  kitchen::Stove<kitchen::Soup> stove;
  const uint64_t all = stove.cook(ns) + kitchen::Knife{}(ns) + kitchen::wash(ns);
  printf("{\"all\": %llu}\n", (unsigned long long)all);
}
