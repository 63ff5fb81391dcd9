// Shows stacks of 100 000 frames, all of descend(), with bottom_work() burning at their ends.
// Arguments: CPU seconds of each, threads (1).
// build: -O2 -fomit-frame-pointer -fno-optimize-sibling-calls -pthread
#include <pthread.h>
#include <stdio.h>

#include "victim.h"

BURNER(bottom_work, 6364136223846793005u)

enum { kMostThreads = 64 };
static double cpu_seconds;
static __thread int reached;
static int all_reached = 1;
static uint64_t burnt;

NOT_INLINED uint64_t descend(int frames) {
  reached = frames;
  uint64_t below = frames == 1 ? bottom_work(seconds(cpu_seconds)) : descend(frames - 1);
  NOT_A_TAIL_CALL();
  return below + 1;
}

static void *thread_main(void *unused) {
  __atomic_add_fetch(&burnt, descend(100000) - 100000, __ATOMIC_RELAXED);
  if (reached != 1) all_reached = 0;
  return unused;
}

int main(int argc, char **argv) {
  pthread_t ids[kMostThreads];
  const int threads = (int)argument(argc, argv, 2, 1);
  pthread_attr_t attributes;
  cpu_seconds = argument(argc, argv, 1, 1);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 20);
  for (int i = 0; i < threads; ++i) pthread_create(&ids[i], &attributes, thread_main, NULL);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("{\"bottom_work\": %llu, \"reached\": %d}\n", (unsigned long long)burnt, all_reached);
}
