// Shows a main thread that leaves by pthread_exit while a worker goes on; the process ends with the worker.
// Argument: CPU seconds of the worker.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <stdio.h>

#include "victim.h"

BURNER(survivor_work, 6364136223846793005u)

static double cpu_seconds;

static void *survivor(void *unused) {
  printf("{\"survivor_work\": %llu}\n", (unsigned long long)survivor_work(seconds(cpu_seconds)));
  return unused;
}

int main(int argc, char **argv) {
  pthread_t id;
  cpu_seconds = argument(argc, argv, 1, .5);
  pthread_create(&id, NULL, survivor, NULL);
  pthread_exit(NULL);
}
