// Locks normal mutexes by every call there is, in turn: the C library's own ways of taking and giving free (trylock, timedlock, condition
// waits) and lock and unlock must be of one mind about the mutex's fields. Prints what it counted, as a line of JSON.
// normal_mutex          four threads, first one alone; then a fork
// normal_mutex asked    the same with one that was asked for as PTHREAD_MUTEX_NORMAL
// normal_mutex calls    so many locks and unlocks that meet nobody as normal_mutex_counter.so, preloaded too, is to see
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

enum { kThreads = 4, kRounds = 60000, kCalls = 1000 };

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t g_fresh = PTHREAD_MUTEX_INITIALIZER;  // as it was
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_inside, g_rounds, g_wrong;

// Who waits for a condition stays a user of its mutex.
static int is_mine(void) {
  return g_mutex.__data.__owner == gettid() && g_mutex.__data.__lock != 0 && g_mutex.__data.__nusers >= 1 &&
         g_mutex.__data.__count == 0 && g_mutex.__data.__kind == g_fresh.__data.__kind;
}

static struct timespec soon(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += 20000;
  if (time.tv_nsec >= 1000000000) ++time.tv_sec, time.tv_nsec -= 1000000000;
  return time;
}

// One more way of having it; 0: did not get it.
static int take(unsigned way) {
  const struct timespec until = soon();
  if (way == 0) return pthread_mutex_trylock(&g_mutex) == 0;
  if (way == 1) return pthread_mutex_timedlock(&g_mutex, &until) == 0;
  return pthread_mutex_lock(&g_mutex) == 0;
}

static void *locks(void *argument) {
  unsigned random = *(const unsigned *)argument;
  for (int i = 0; i < kRounds; ++i) {
    random = random * 1664525 + 1013904223;
    errno = 77;
    if (!take(random >> 29)) continue;
    if (++g_inside != 1 || !is_mine()) ++g_wrong;
    ++g_rounds;
    if (errno != 77) ++g_wrong;
    if ((random >> 20 & 15) == 0) {
      const struct timespec until = soon();
      --g_inside;
      pthread_cond_timedwait(&g_cond, &g_mutex, &until);
      if (++g_inside != 1 || g_mutex.__data.__owner != gettid()) ++g_wrong;
    } else if ((random >> 20 & 15) == 1) {
      pthread_cond_signal(&g_cond);
    }
    --g_inside;
    if (pthread_mutex_unlock(&g_mutex) != 0) ++g_wrong;
  }
  return NULL;
}

static int is_clean(void) { return memcmp(&g_mutex, &g_fresh, sizeof g_fresh) == 0; }

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "calls") == 0) {
    for (int i = 0; i < kCalls; ++i) {
      pthread_mutex_lock(&g_mutex);
      pthread_mutex_unlock(&g_mutex);
    }
    printf("{\"calls\": %d}\n", kCalls);
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "asked") == 0) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_NORMAL);
    pthread_mutex_init(&g_mutex, &attributes);
    g_fresh = g_mutex;
  }
  unsigned seeds[kThreads] = {1, 2, 3, 4};
  locks(&seeds[0]);
  const int clean_alone = is_clean();
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, locks, &seeds[i]);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  const int clean = is_clean();
  // Taken by the parent, given free by the child, which is another thread by number.
  pthread_mutex_lock(&g_mutex);
  const pid_t child = fork();
  if (child == 0) {
    const int held = pthread_mutex_trylock(&g_mutex) == EBUSY;
    const int released = pthread_mutex_unlock(&g_mutex) == 0 && is_clean();
    const int taken = pthread_mutex_lock(&g_mutex) == 0 && is_mine();
    _exit(held && released && taken ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  pthread_mutex_unlock(&g_mutex);
  const int destroyed = pthread_mutex_destroy(&g_mutex);
  const int is_refused = pthread_mutex_lock(&g_mutex) == EINVAL && pthread_mutex_unlock(&g_mutex) == EINVAL;
  printf(
      "{\"rounds\": %ld, \"wrong\": %ld, \"clean_alone\": %d, \"clean\": %d, \"child\": %d, \"destroyed\": %d, "
      "\"refused\": %d}\n",
      g_rounds, g_wrong, clean_alone, clean, status, destroyed, is_refused);
  return 0;
}
