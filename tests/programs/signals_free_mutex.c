// Shows what a mutex profile has of a mutex that nobody waits for: a condition is signalled so many times while its mutex is free
// (argument), and the waiter, once awake, takes and unlocks that in consumer(). Writes how many wake-ups there were.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "victim.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long given, taken, wanted;

NOT_INLINED void *consumer(void *unused) {
  pthread_mutex_lock(&mutex);
  while (taken < wanted) {
    while (taken == __atomic_load_n(&given, __ATOMIC_ACQUIRE)) pthread_cond_wait(&cond, &mutex);
    ++taken;
    pthread_mutex_unlock(&mutex);
    // Where the time of a wake-up would be charged, if it were.
    pthread_mutex_lock(&mutex);
  }
  pthread_mutex_unlock(&mutex);
  return unused;
}

int main(int argc, char **argv) {
  wanted = (long)argument(argc, argv, 1, 3000);
  pthread_t thread;
  pthread_create(&thread, NULL, consumer, NULL);
  for (long i = 0; i < wanted; ++i) {
    while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) < i) usleep(50);
    usleep(200);  // until it waits
    __atomic_store_n(&given, i + 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) <= i) {
      pthread_cond_signal(&cond);
      usleep(200);
    }
  }
  pthread_join(thread, NULL);
  printf("{\"wakeups\": %ld}\n", taken);
  return 0;
}
