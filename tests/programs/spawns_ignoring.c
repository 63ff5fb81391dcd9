// Ignores SIGPROF, and starts programs from several threads at once: each says whether it ignores the signal too, as what is started does.
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { THREADS = 4, SPAWNS = 200 };

static atomic_int others;

static void *spawn(void *self) {
  char *words[] = {self, "child", NULL};
  char *none[] = {NULL};
  for (int i = 0; i < SPAWNS; ++i) {
    pid_t child;
    int status = 0;
    if (posix_spawn(&child, self, NULL, NULL, words, none) != 0) abort();
    waitpid(child, &status, 0);
    if (status != 0) ++others;
  }
  return NULL;
}

int main(int argc, char **argv) {
  struct sigaction now;
  sigaction(SIGPROF, NULL, &now);
  if (argc > 1) return now.sa_handler == SIG_IGN ? 0 : 1;
  signal(SIGPROF, SIG_IGN);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; ++i) pthread_create(&threads[i], NULL, spawn, argv[0]);
  for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  printf("%d do not\n", others);
  return others == 0 ? 7 : 1;
}
