// Shows threads that live for less than a sampling period, two at a time. Every third runs brief_odd(), the others
// brief_even(). Arguments: how many, CPU milliseconds of each. "preempted": the lives of those that a processor was taken
// from for somebody else.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include "victim.h"

BURNER(brief_odd, 6364136223846793005u)
BURNER(brief_even, 2862933555777941757u)

static double cpu_ms;
static int count;
static atomic_int started;
static atomic_ullong odd_ns, even_ns, lives_ns, preempted_ns;

static void *brief_life(void *argument) {
  uint64_t ns = (uint64_t)(cpu_ms * 1e6);
  if ((intptr_t)argument % 3 == 0) {
    odd_ns += brief_odd(ns);
  } else {
    even_ns += brief_even(ns);
  }
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  const uint64_t life = thread_cpu_ns();
  lives_ns += life;
  if (usage.ru_nivcsw != 0) preempted_ns += life;
  return argument;
}

static void *one_after_another(void *unused) {
  for (int number; (number = started++) < count;) {
    pthread_t id;
    if (pthread_create(&id, NULL, brief_life, (void *)(intptr_t)number) != 0) abort();
    pthread_join(id, NULL);
  }
  return unused;
}

int main(int argc, char **argv) {
  pthread_t helper;
  count = (int)argument(argc, argv, 1, 20000);
  cpu_ms = argument(argc, argv, 2, 3);
  pthread_create(&helper, NULL, one_after_another, NULL);
  one_after_another(NULL);
  pthread_join(helper, NULL);
  printf("{\"brief_odd\": %llu, \"brief_even\": %llu, \"lives\": %llu, \"preempted\": %llu, \"total\": %llu}\n", odd_ns,
         even_ns, lives_ns, preempted_ns, (unsigned long long)process_cpu_ns());
}
