// Two named threads with different work, one with three times the other's: prints the true times by name.
#include <pthread.h>

#include <cstdio>

#include "burn.h"

static double g_big, g_small;
extern "C" {
__attribute__((noinline)) void big_work() { BURN(3.0); }
__attribute__((noinline)) void small_work() { BURN(1.0); }
}
static void* run_big(void*) { pthread_setname_np(pthread_self(), "big"); big_work(); g_big = thread_cpu(); return nullptr; }
static void* run_small(void*) { pthread_setname_np(pthread_self(), "small"); small_work(); g_small = thread_cpu(); return nullptr; }

int main() {
  pthread_t a;
  pthread_t b;
  pthread_create(&a, nullptr, run_big, nullptr);
  pthread_create(&b, nullptr, run_small, nullptr);
  pthread_join(a, nullptr);
  pthread_join(b, nullptr);
  printf("{\"big\": %f, \"small\": %f}\n", g_big, g_small);
}
