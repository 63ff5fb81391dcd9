// A CPU profile is begun and ended, ARGUMENT times, amid threads that begin and end. At the end nobody is sampled: prints the timers and
// the mappings of perf events that there are all the same.
// build: -std=gnu99 -pthread -I preload
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prof.h"
#include "victim.h"

enum { kCreators = 3 };

static volatile int is_over;

static void *nothing(void *unused) { return unused; }

static void *creates(void *unused) {
  while (!is_over) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0) abort();
    pthread_join(thread, NULL);
  }
  return unused;
}

static int lines_with(const char *path, const char *text) {
  char line[4096];
  int count = 0;
  FILE *file = fopen(path, "r");
  if (file == NULL) abort();
  while (fgets(line, sizeof(line), file) != NULL) count += strstr(line, text) != NULL;
  fclose(file);
  return count;
}

int main(int argc, char **argv) {
  pthread_t creators[kCreators];
  for (int i = 0; i < kCreators; ++i) {
    if (pthread_create(&creators[i], NULL, creates, NULL) != 0) abort();
  }
  int failures = 0;
  for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 100); ++i) {
    failures += prof_start_cpu("/dev/null") != 0;
    usleep((useconds_t)(i % 10) * 100);
    failures += prof_stop_cpu() != 0;
  }
  is_over = 1;
  for (int i = 0; i < kCreators; ++i) pthread_join(creators[i], NULL);
  printf("{\"failures\": %d, \"timers\": %d, \"perf events\": %d}\n", failures, lines_with("/proc/self/timers", "ID:"),
         lines_with("/proc/self/maps", "[perf_event]"));
  return 0;
}
