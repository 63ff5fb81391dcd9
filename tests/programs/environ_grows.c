// Starts a program again and again with an environment that another thread makes longer and shorter, in place.
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

enum { FEW = 10, MANY = 1500, SPAWNS = 300 };

static char *entries[MANY + 200];
static char *volatile *const own = entries;
static atomic_int ends;

static void stay(uint64_t ns) {
  for (const uint64_t until = wall_ns() + ns; wall_ns() < until;) continue;
}

static void *grow_and_shrink(void *unused) {
  (void)unused;
  int from = 0;
  while (own[from] != NULL) ++from;
  while (!atomic_load(&ends)) {
    for (int i = from; i < MANY; ++i) own[i] = "MORE=and more";
    stay(20000);
    for (int i = MANY; i-- > from;) own[i] = NULL;
    stay(20000);
  }
  return NULL;
}

int main(int argc, char **argv) {
  char *words[] = {argc > 1 ? argv[1] : "/bin/true", NULL};
  extern char **environ;
  int count = 0;
  for (char **entry = environ; *entry != NULL && count < 100; ++entry) entries[count++] = *entry;
  pthread_t thread;
  pthread_create(&thread, NULL, grow_and_shrink, NULL);
  int started = 0;
  for (int i = 0; i < SPAWNS; ++i) {
    pid_t child;
    if (posix_spawn(&child, words[0], NULL, NULL, words, entries) != 0) continue;
    ++started;
    kill(child, SIGKILL);  // that it was started is all
    waitpid(child, NULL, 0);
  }
  atomic_store(&ends, 1);
  pthread_join(thread, NULL);
  return started > 0 ? 7 : 1;
}
