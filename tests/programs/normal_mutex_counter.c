// A library that stands behind libprof and counts the locks that reach it, as debugging aids do.
// build: -shared -fPIC
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static long g_locks, g_unlocks;

int pthread_mutex_lock(pthread_mutex_t *mutex) {
  static int (*next)(pthread_mutex_t *);
  if (!next) next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
  ++g_locks;
  return next(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
  static int (*next)(pthread_mutex_t *);
  if (!next) next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
  ++g_unlocks;
  return next(mutex);
}

__attribute__((destructor)) static void say(void) { fprintf(stderr, "%ld locks, %ld unlocks\n", g_locks, g_unlocks); }
