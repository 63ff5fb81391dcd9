// A program that does a bit of everything, under limits that others have set. Prints what failed of its own.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

BURNER(mains_work, 6364136223846793005u)
BURNER(threads_work, 2862933555777941757u)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *works(void *nothing) {
  (void)nothing;
  for (int i = 0; i < 20; ++i) {
    pthread_mutex_lock(&lock);
    threads_work(milliseconds(2));
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t thread;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  const int made = pthread_create(&thread, &small, works, NULL);
  for (int i = 0; i < 20; ++i) {
    pthread_mutex_lock(&lock);
    mains_work(milliseconds(2));
    pthread_mutex_unlock(&lock);
  }
  if (made == 0) pthread_join(thread, NULL);
  int blocks = 0;
  for (int i = 0; i < 1000; ++i) {
    char *block = malloc(1000 + (size_t)i);
    if (block == NULL) continue;
    memset(block, i, 1000);
    ++blocks;
    free(block);
  }
  // A file of its own, as far as it may be written.
  if (argc > 1) {
    const int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    printf("descriptor %d, written %d\n", fd, fd < 0 ? -1 : (int)write(fd, "own data\n", 9));
  }
  printf("thread %s, blocks %d\n", made == 0 ? "made" : "refused", blocks);
  return 0;
}
