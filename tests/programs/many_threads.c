// Shows many threads, each asleep in one of eight calls, sleeps_in_X() called by thread_of_X(). Argument: how many.
// Prints `ready` once all are asleep, waits for a line on stdin, wakes them, and prints their ids by call and how many
// calls had ended before.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "victim.h"

enum { kMost = 10000 };

static int released, word, started, ended_early;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static int polled[2], data[2], epoll;
static int tids[kMost];
static pthread_t threads[kMost];

static int is_released(void) { return __atomic_load_n(&released, __ATOMIC_ACQUIRE); }

#define SLEEP(what, ...)                                                       \
  NOT_INLINED static void sleeps_in_##what(void) {                             \
    __VA_ARGS__;                                                               \
    NOT_A_TAIL_CALL();                                                         \
  }                                                                            \
  NOT_INLINED static void *thread_of_##what(void *tid) {                       \
    pthread_setname_np(pthread_self(), #what);                                 \
    __atomic_store_n((int *)tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);  \
    sleeps_in_##what();                                                        \
    if (!is_released()) __atomic_fetch_add(&ended_early, 1, __ATOMIC_RELAXED); \
    return NULL;                                                               \
  }

static char byte;
SLEEP(mutex, pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex))
SLEEP(condition, pthread_mutex_lock(&cond_mutex); while (!is_released()) pthread_cond_wait(&cond, &cond_mutex);
      pthread_mutex_unlock(&cond_mutex))
SLEEP(semaphore, sem_wait(&semaphore))
SLEEP(futex, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
SLEEP(nanosleep, nanosleep(&(struct timespec){100000, 0}, NULL))
SLEEP(poll, poll(&(struct pollfd){polled[0], POLLIN, 0}, 1, -1))
SLEEP(epoll_wait, struct epoll_event event; epoll_wait(epoll, &event, 1, -1))
SLEEP(read, if (read(data[0], &byte, 1) < 0) abort())

static const struct {
  const char *name;
  void *(*lives)(void *);
} kinds[] = {
    {"mutex", thread_of_mutex},           {"condition", thread_of_condition}, {"semaphore", thread_of_semaphore},
    {"futex", thread_of_futex},           {"nanosleep", thread_of_nanosleep}, {"poll", thread_of_poll},
    {"epoll_wait", thread_of_epoll_wait}, {"read", thread_of_read},
};
enum { kKinds = sizeof kinds / sizeof *kinds };

static void on_signal(int number) { (void)number; }

static int is_asleep(int tid) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  const size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  const char *end = length ? strrchr(text, ')') : NULL;
  return end && end[1] == ' ' && end[2] == 'S';
}

int main(int argc, char **argv) {
  const int count = (int)argument(argc, argv, 1, 1000);
  if (count > kMost || pipe(polled) != 0 || pipe(data) != 0) return 2;
  struct epoll_event event = {.events = EPOLLIN};
  epoll = epoll_create1(0);
  epoll_ctl(epoll, EPOLL_CTL_ADD, polled[0], &event);
  sem_init(&semaphore, 0, 0);
  sigaction(SIGRTMAX, &(struct sigaction){.sa_handler = on_signal}, NULL);
  pthread_mutex_lock(&mutex);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  for (; started < count; ++started)
    if (pthread_create(&threads[started], &small, kinds[started % kKinds].lives, &tids[started]) != 0) return 3;
  const struct timespec rest = {0, 1000000};
  for (int i = 0; i < count; ++i)
    while (!__atomic_load_n(&tids[i], __ATOMIC_ACQUIRE) || !is_asleep(tids[i])) nanosleep(&rest, NULL);
  puts("ready");
  fflush(stdout);
  if (read(0, &byte, 1) < 0) return 4;

  __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&mutex);
  pthread_mutex_lock(&cond_mutex);
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&cond_mutex);
  for (int i = 0; i < count; ++i) sem_post(&semaphore);
  __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
  close(data[1]);
  if (write(polled[1], "x", 1) != 1) return 5;
  for (int i = 0; i < count; ++i) {
    if (kinds[i % kKinds].lives == thread_of_nanosleep) pthread_kill(threads[i], SIGRTMAX);
    pthread_join(threads[i], NULL);
  }
  printf("{\"main\": %d, \"early\": %d, \"threads\": {", (int)getpid(), ended_early);
  for (int kind = 0; kind < kKinds; ++kind) {
    printf("%s\"%s\": [", kind ? ", " : "", kinds[kind].name);
    for (int i = kind; i < count; i += kKinds) printf("%s%d", i == kind ? "" : ", ", tids[i]);
    printf("]");
  }
  puts("}}");
  return 0;
}
