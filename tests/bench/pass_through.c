// What any interposer costs: malloc, free and a mutex's lock and unlock, handed on to the next definition and nothing else.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

// One load and one jump a call, as libprof's own.
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
static int (*next_lock)(pthread_mutex_t *);
static int (*next_unlock)(pthread_mutex_t *);

static void find(void) {
  next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
  next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  next_lock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
  next_unlock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
}
static void *first_malloc(size_t size) {
  find();
  return next_malloc(size);
}
static void first_free(void *block) {
  find();
  next_free(block);
}
static int first_lock(pthread_mutex_t *mutex) {
  find();
  return next_lock(mutex);
}
static int first_unlock(pthread_mutex_t *mutex) {
  find();
  return next_unlock(mutex);
}
static void *(*next_malloc)(size_t) = first_malloc;
static void (*next_free)(void *) = first_free;
static int (*next_lock)(pthread_mutex_t *) = first_lock;
static int (*next_unlock)(pthread_mutex_t *) = first_unlock;

void *malloc(size_t size) { return next_malloc(size); }
void free(void *block) { next_free(block); }
int pthread_mutex_lock(pthread_mutex_t *mutex) { return next_lock(mutex); }
int pthread_mutex_unlock(pthread_mutex_t *mutex) { return next_unlock(mutex); }
