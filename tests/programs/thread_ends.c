// Shows the ways a thread ends: return, pthread_exit, pthread_cancel, detached; each under a name of its own.
// Argument: CPU seconds of each.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "victim.h"

BURNER(returning_work, 6364136223846793005u)
BURNER(exiting_work, 2862933555777941757u)
BURNER(cancelled_work, 3202034522624059733u)
BURNER(detached_work, 3935559000370003845u)

static uint64_t wanted_ns;
static sem_t detached_done;
static int cleaned, destroyed;
static pthread_key_t key;

static void on_cleanup(void *unused) {
  (void)unused;
  ++cleaned;
}

static void on_destroy(void *unused) {
  (void)unused;
  __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

static void name_self(const char *name) {
  pthread_setname_np(pthread_self(), name);
  pthread_setspecific(key, name);
}

static void *returns(void *value) {
  name_self("returns");
  returning_work(wanted_ns);
  return value;
}

static void *exits(void *value) {
  name_self("exits");
  exiting_work(wanted_ns);
  pthread_exit(value);
}

static void *is_cancelled(void *value) {
  name_self("is_cancelled");
  pthread_cleanup_push(on_cleanup, NULL);
  for (;;) {
    cancelled_work(milliseconds(10));
    pthread_testcancel();
  }
  pthread_cleanup_pop(0);
  return value;
}

static void *detached(void *value) {
  name_self("detached");
  detached_work(wanted_ns);
  sem_post(&detached_done);
  return value;
}

int main(int argc, char **argv) {
  wanted_ns = seconds(argument(argc, argv, 1, .5));
  pthread_t ids[4];
  void *values[3];
  pthread_key_create(&key, on_destroy);
  sem_init(&detached_done, 0, 0);
  pthread_create(&ids[0], NULL, returns, (void *)11);
  pthread_create(&ids[1], NULL, exits, (void *)22);
  pthread_create(&ids[2], NULL, is_cancelled, (void *)33);
  pthread_create(&ids[3], NULL, detached, (void *)44);
  pthread_detach(ids[3]);
  pthread_join(ids[0], &values[0]);
  pthread_join(ids[1], &values[1]);
  pthread_cancel(ids[2]);
  pthread_join(ids[2], &values[2]);
  sem_wait(&detached_done);
  printf("{\"returned\": %d, \"exited\": %d, \"cancelled\": %d, \"cleaned\": %d, \"joined_destroyed\": %d}\n",
         (int)(intptr_t)values[0], (int)(intptr_t)values[1], values[2] == PTHREAD_CANCELED, cleaned, destroyed >= 3);
}
