// Threads that live 3 ms of CPU time each, two at a time: short_threads COUNT. Prints the CPU time that they had, all together.
#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "burn.h"

static std::atomic<long> g_total_ns{0};

extern "C" __attribute__((noinline)) void* short_work(void*) {
  BURN(0.003);
  g_total_ns += static_cast<long>(thread_cpu() * 1e9);
  return nullptr;
}

int main(int, char** argv) {
  const int count = atoi(argv[1]);
  for (int i = 0; i < count; i += 2) {
    pthread_t a;
    pthread_t b;
    pthread_create(&a, nullptr, short_work, nullptr);
    pthread_create(&b, nullptr, short_work, nullptr);
    pthread_join(a, nullptr);
    pthread_join(b, nullptr);
  }
  printf("{\"seconds\": %f}\n", g_total_ns * 1e-9);
}
