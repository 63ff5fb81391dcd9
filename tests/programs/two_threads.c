// Shows two threads that do different work: `painter` runs paint() for twice the CPU time that `baker` runs bake().
// Argument: CPU seconds of the baker.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>

#include "victim.h"

BURNER(paint, 6364136223846793005u)
BURNER(bake, 2862933555777941757u)

static double baker_seconds;
static uint64_t paint_ns, bake_ns;

static void *painter(void *unused) {
  pthread_setname_np(pthread_self(), "painter");
  paint_ns = paint(seconds(2 * baker_seconds));
  return unused;
}

static void *baker(void *unused) {
  pthread_setname_np(pthread_self(), "baker");
  bake_ns = bake(seconds(baker_seconds));
  return unused;
}

int main(int argc, char **argv) {
  pthread_t one, other;
  baker_seconds = argument(argc, argv, 1, 2);
  pthread_create(&one, NULL, painter, NULL);
  pthread_create(&other, NULL, baker, NULL);
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  printf("{\"paint\": %llu, \"bake\": %llu, \"total\": %llu}\n", (unsigned long long)paint_ns,
         (unsigned long long)bake_ns, (unsigned long long)process_cpu_ns());
}
