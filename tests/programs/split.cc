// Shows a known split of CPU time: alpha 50 %, beta 30 %, gamma_ 20 %, in slices of 60 to 140 ms, in every thread.
// Arguments: threads (1: the main one only), CPU seconds of each.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>

#include <cstdio>

#include "victim.h"

BURNER(alpha, 6364136223846793005u)
BURNER(beta, 2862933555777941757u)
BURNER(gamma_, 3202034522624059733u)

namespace {

struct Work {
  int number;
  double cpu_seconds;
  uint64_t cpu_ns[3];
};

}  // namespace

PLAIN_NAME NOT_INLINED void run_alpha(Work *work, uint64_t ns) {
  work->cpu_ns[0] += alpha(ns);
  NOT_A_TAIL_CALL();
}

PLAIN_NAME NOT_INLINED void run_others(Work *work, uint64_t ns, int which) {
  work->cpu_ns[which] += which == 1 ? beta(ns) : gamma_(ns);
  NOT_A_TAIL_CALL();
}

PLAIN_NAME NOT_INLINED void run_slices(Work *work) {
  uint64_t random = 1000 + work->number;
  uint64_t wanted[3] = {seconds(work->cpu_seconds * .5), seconds(work->cpu_seconds * .3),
                        seconds(work->cpu_seconds * .2)};
  for (;;) {
    // Whoever is furthest behind runs next, so the split holds to within a slice, and the slices' order varies.
    int next = 0;
    double least = 2;
    for (int i = 0; i < 3; ++i) {
      const double done = double(work->cpu_ns[i]) / double(wanted[i]);
      if (done < least) next = i, least = done;
    }
    if (least >= 1) return;
    uint64_t slice = milliseconds(60 + next_number(&random) % 80);
    const uint64_t left = wanted[next] - work->cpu_ns[next];
    if (slice > left) slice = left;
    if (next == 0) {
      run_alpha(work, slice);
    } else {
      run_others(work, slice, next);
    }
  }
}

static void *thread_main(void *argument) {
  Work *work = static_cast<Work *>(argument);
  char name[16];
  snprintf(name, sizeof name, "worker-%d", work->number);
  pthread_setname_np(pthread_self(), name);
  run_slices(work);
  return nullptr;
}

int main(int argc, char **argv) {
  const int threads = int(argument(argc, argv, 1, 1));
  static Work work[64];
  pthread_t ids[64];
  for (int i = 0; i < threads; ++i) work[i] = {i, argument(argc, argv, 2, 5), {}};
  if (threads == 1) {
    run_slices(&work[0]);
  } else {
    for (int i = 0; i < threads; ++i) pthread_create(&ids[i], nullptr, thread_main, &work[i]);
    for (int i = 0; i < threads; ++i) pthread_join(ids[i], nullptr);
  }
  printf("{\"total\": %llu, \"threads\": [", (unsigned long long)process_cpu_ns());
  for (int i = 0; i < threads; ++i) {
    printf("%s{\"alpha\": %llu, \"beta\": %llu, \"gamma_\": %llu}", i ? ", " : "",
           (unsigned long long)work[i].cpu_ns[0], (unsigned long long)work[i].cpu_ns[1],
           (unsigned long long)work[i].cpu_ns[2]);
  }
  printf("]}\n");
}
