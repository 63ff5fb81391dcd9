// A known split of CPU time over three functions, in 1 or more threads: split THREADS SECONDS. Prints each function's true time.
// build: -fomit-frame-pointer
#include <pthread.h>

#include <cstdio>
#include <cstdlib>

#include "burn.h"

static double g_seconds;
struct Truth {
  double sixty, thirty, ten;
};

extern "C" {
__attribute__((noinline)) double take_sixty(double s) { const double before = thread_cpu(); BURN(s); return thread_cpu() - before; }
__attribute__((noinline)) double take_thirty(double s) { const double before = thread_cpu(); BURN(s); return thread_cpu() - before; }
__attribute__((noinline)) double take_ten(double s) { const double before = thread_cpu(); BURN(s); return thread_cpu() - before; }
}

// Slices that share no period with a sampling clock.
static void* work(void* argument) {
  auto* truth = static_cast<Truth*>(argument);
  unsigned seed = 12345;
  while (thread_cpu() < g_seconds) {
    const double slice = 0.001 + 0.00001 * (rand_r(&seed) % 400);
    truth->sixty += take_sixty(slice * 6);
    truth->thirty += take_thirty(slice * 3);
    truth->ten += take_ten(slice);
  }
  return nullptr;
}

int main(int, char** argv) {
  const int threads = atoi(argv[1]);
  g_seconds = atof(argv[2]);
  Truth truths[16] = {};
  pthread_t ids[16];
  for (int i = 1; i < threads; ++i) pthread_create(&ids[i], nullptr, work, &truths[i]);
  work(&truths[0]);
  for (int i = 1; i < threads; ++i) pthread_join(ids[i], nullptr);
  Truth sum = {};
  for (const Truth& t : truths) sum = {sum.sixty + t.sixty, sum.thirty + t.thirty, sum.ten + t.ten};
  printf("{\"take_sixty\": %f, \"take_thirty\": %f, \"take_ten\": %f}\n", sum.sixty, sum.thirty, sum.ten);
}
