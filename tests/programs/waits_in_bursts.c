// Threads that come and go: again and again so many are made, sleep for a moment, and are joined; then the main thread sleeps. Arguments: how many,
// milliseconds of their lives, milliseconds between, seconds in all. Prints where the time went.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "victim.h"

enum { kMost = 1000 };

static useconds_t life_us, between_us;
static atomic_ullong lives_ns;

NOT_INLINED static void sleeps_briefly(void) {
  usleep(life_us);
  NOT_A_TAIL_CALL();
}

static void *lives(void *unused) {
  const uint64_t start = wall_ns();
  sleeps_briefly();
  lives_ns += wall_ns() - start;
  return unused;
}

NOT_INLINED static void waits_for_all(int count) {
  pthread_t threads[kMost];
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], NULL, lives, NULL) != 0) abort();
  }
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
}

NOT_INLINED static void sleeps_between(void) {
  if (between_us != 0) usleep(between_us);
  NOT_A_TAIL_CALL();
}

int main(int argc, char **argv) {
  const int count = (int)argument(argc, argv, 1, 3);
  life_us = (useconds_t)(1000 * argument(argc, argv, 2, 20));
  between_us = (useconds_t)(1000 * argument(argc, argv, 3, 20));
  const uint64_t start = wall_ns(), lasts = seconds(argument(argc, argv, 4, 4));
  uint64_t waits_ns = 0, now;
  while ((now = wall_ns()) - start < lasts) {
    waits_for_all(count);
    waits_ns += wall_ns() - now;
    sleeps_between();
  }
  printf("{\"elapsed\": %llu, \"waits_for_all\": %llu, \"sleeps_briefly\": %llu}\n", (unsigned long long)(now - start),
         (unsigned long long)waits_ns, (unsigned long long)lives_ns);
  return 0;
}
