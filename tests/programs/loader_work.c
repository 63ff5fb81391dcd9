// A plain program that allocates, locks, makes threads, forks and works: linked in every way (tests/rules.mk), and run beside others'
// libraries.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long kept;
static long counted;

// No clock: some of what is preloaded makes time run otherwise.
__attribute__((noinline)) unsigned long loader_works(unsigned long rounds) {
  unsigned long x = 88172645463325252u;
  for (unsigned long i = 0; i < rounds; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  kept = x;
  return x;
}

static void* thread_works(void* nothing) {
  for (int i = 0; i < 2000; ++i) {
    char* block = malloc((size_t)(i % 500) * 64 + 1);
    block[0] = 1;
    pthread_mutex_lock(&lock);
    counted += block[0];
    pthread_mutex_unlock(&lock);
    free(block);
  }
  loader_works(20000000);
  return nothing;
}

int main(void) {
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, thread_works, NULL);
  const unsigned long x = loader_works(60000000);
  for (int i = 0; i < 3; ++i) pthread_join(threads[i], NULL);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    loader_works(10000000);
    exit(counted == 6000 ? 7 : 8);
  }
  int status = 0;
  waitpid(child, &status, 0);
  printf("%lx %ld %d\n", x, counted, WEXITSTATUS(status));
  fflush(stdout);
  return 3;
}
