// Shows threads that change their names as they work: each function runs under the name of its own, a slice of CPU time in turn.
// The worker names itself by pthread_setname_np and by prctl; a third name is given to it by the main thread. Argument: slices.
// build: -O2 -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "victim.h"

BURNER(work_as_cook, 6364136223846793005u)
BURNER(work_as_waiter, 2862933555777941757u)
BURNER(work_as_guest, 3935559000370003845u)

static int slices;
static sem_t asked, named;

static void *worker(void *unused) {
  for (int i = 0; i < slices; ++i) {
    pthread_setname_np(pthread_self(), "cook");
    work_as_cook(milliseconds(15));
    prctl(PR_SET_NAME, "waiter");
    work_as_waiter(milliseconds(15));
    sem_post(&asked);
    sem_wait(&named);
    work_as_guest(milliseconds(15));
  }
  return unused;
}

int main(int argc, char **argv) {
  slices = (int)argument(argc, argv, 1, 50);
  pthread_t thread;
  pthread_create(&thread, NULL, worker, NULL);
  for (int i = 0; i < slices; ++i) {
    sem_wait(&asked);
    pthread_setname_np(thread, "guest");
    sem_post(&named);
  }
  pthread_join(thread, NULL);
  printf("{\"slices\": %d}\n", slices);
}
