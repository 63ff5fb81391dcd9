// Shows a stack of 100 000 frames, all of descend(), with bottom_work() burning at its end.
// Argument: CPU seconds.
// build: -O2 -fomit-frame-pointer -fno-optimize-sibling-calls -pthread
#include <pthread.h>
#include <stdio.h>

#include "victim.h"

BURNER(bottom_work, 6364136223846793005u)

static double cpu_seconds;
static int reached;

NOT_INLINED uint64_t descend(int frames) {
  reached = frames;
  uint64_t below = frames == 1 ? bottom_work(seconds(cpu_seconds)) : descend(frames - 1);
  NOT_A_TAIL_CALL();
  return below + 1;
}

static void *thread_main(void *unused) {
  printf("{\"bottom_work\": %llu, ", (unsigned long long)descend(100000) - 100000);
  return unused;
}

int main(int argc, char **argv) {
  pthread_t id;
  pthread_attr_t attributes;
  cpu_seconds = argument(argc, argv, 1, 1);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 20);
  pthread_create(&id, &attributes, thread_main, NULL);
  pthread_join(id, NULL);
  printf("\"reached\": %d}\n", reached);
}
