// Threads that wait for one another at known times, with a log of it. Arguments: KIND, and a number for some.
//
// "all": each kind of wait once, of 30 ms or so, one after the other: a waiter's thread is made, begins to wait, and
// the main thread ends the wait in let_go(), or lets it time out. Then "burner" burns CPU time in burn_here(). A thread
// "idle" does nothing from first to last. "forks": the same in a child of fork, after it was done in the parent.
// "waits": so many waits of 30 us in one thread, and one in another that goes on meanwhile. "threads": so many threads,
// one after the other, that wait once each. "ends_waiting": exits while a thread waits for a mutex that nobody gives
// free.
// build: -O2 -fomit-frame-pointer -pthread -D_GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.h"
#include "victim.h"

enum kind { kMutex, kRead, kWrite, kCondition, kTimeout, kSemaphore, kBarrier, kJoin, kSpin, kKinds };
static const char *const state_names[] = {"mutex",     "read lock", "write lock", "condition", "condition",
                                          "semaphore", "barrier",   "join",       "spin lock"};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, of_condition = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static pthread_t joined;
static volatile int signalled, ends, stuck_tid;
static int is_first_line = 1;

BURNER(burn_here, 6364136223846793005u)

static int tid(void) { return (int)syscall(SYS_gettid); }

static void sleep_ns(uint64_t ns) {
  struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  while (nanosleep(&pause, &pause) != 0) {
  }
}

// A line of the log; all are written by the main thread.
static void log_line(const char *what, const char *name, int thread, uint64_t begin, uint64_t end, int by) {
  printf("%s{\"what\": \"%s\", \"name\": \"%s\", \"tid\": %d, \"begin\": %llu, \"end\": %llu, \"by\": %d}",
         is_first_line ? "{\"log\": [" : ", ", what, name, thread, (unsigned long long)begin, (unsigned long long)end,
         by);
  is_first_line = 0;
}

struct waiter {
  enum kind kind;
  int tid;
  uint64_t begun;
  volatile uint64_t begin;
  uint64_t end, ended;  // the thread begins, its wait begins, and so on
};

static NOT_INLINED void wait_here(struct waiter *w) {
  w->begin = wall_ns();
  struct timespec until;
  switch (w->kind) {
    case kMutex:
      pthread_mutex_lock(&mutex);
      break;
    case kRead:
      pthread_rwlock_rdlock(&rwlock);
      break;
    case kWrite:
      pthread_rwlock_wrlock(&rwlock);
      break;
    case kCondition:
      while (!signalled) pthread_cond_wait(&condition, &of_condition);
      break;
    case kTimeout:
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_nsec += 30000000;
      if (until.tv_nsec >= 1000000000) ++until.tv_sec, until.tv_nsec -= 1000000000;
      while (pthread_cond_timedwait(&condition, &of_condition, &until) != ETIMEDOUT) {
      }
      break;
    case kSemaphore:
      sem_wait(&semaphore);
      break;
    case kBarrier:
      pthread_barrier_wait(&barrier);
      break;
    case kJoin:
      pthread_join(joined, NULL);
      break;
    default:
      pthread_spin_lock(&spin);
  }
  w->end = wall_ns();
  NOT_A_TAIL_CALL();
}

static NOT_INLINED void let_go(enum kind kind) {
  switch (kind) {
    case kMutex:
      pthread_mutex_unlock(&mutex);
      break;
    case kRead:
    case kWrite:
      pthread_rwlock_unlock(&rwlock);
      break;
    case kCondition:
      pthread_mutex_lock(&of_condition);
      signalled = 1;
      pthread_cond_signal(&condition);
      pthread_mutex_unlock(&of_condition);
      break;
    case kSemaphore:
      sem_post(&semaphore);
      break;
    case kBarrier:
      pthread_barrier_wait(&barrier);
      break;
    case kJoin:
      ends = 1;
      break;
    default:
      pthread_spin_unlock(&spin);
  }
  NOT_A_TAIL_CALL();
}

static void *run_waiter(void *argument) {
  struct waiter *w = argument;
  w->begun = wall_ns();
  w->tid = tid();
  char name[16];
  snprintf(name, sizeof(name), "w %s", state_names[w->kind]);
  pthread_setname_np(pthread_self(), name);
  const int has_mutex = w->kind == kCondition || w->kind == kTimeout;
  if (has_mutex) pthread_mutex_lock(&of_condition);
  wait_here(w);
  if (has_mutex) pthread_mutex_unlock(&of_condition);
  if (w->kind == kMutex) pthread_mutex_unlock(&mutex);
  if (w->kind == kRead || w->kind == kWrite) pthread_rwlock_unlock(&rwlock);
  if (w->kind == kSpin) pthread_spin_unlock(&spin);
  w->ended = wall_ns();
  return NULL;
}

static void *run_joined(void *argument) {
  *(int *)argument = tid();
  pthread_setname_np(pthread_self(), "joined");
  while (!ends) sleep_ns(500000);
  return NULL;
}

static void *run_idle(void *argument) {
  pthread_setname_np(pthread_self(), "idle");
  *(volatile int *)argument = tid();
  for (;;) pause();
  return NULL;
}

static void *run_burner(void *argument) {
  struct waiter *w = argument;
  pthread_setname_np(pthread_self(), "burner");
  w->tid = tid();
  w->begin = w->begun = wall_ns();
  burn_here(milliseconds(200));
  w->end = w->ended = wall_ns();
  return NULL;
}

static void wait_once(enum kind kind) {
  struct waiter w = {.kind = kind};
  pthread_t thread;
  int by = kind == kTimeout ? 0 : tid();
  signalled = ends = 0;
  if (kind == kMutex) pthread_mutex_lock(&mutex);
  if (kind == kRead) pthread_rwlock_wrlock(&rwlock);
  if (kind == kWrite) pthread_rwlock_rdlock(&rwlock);
  if (kind == kSpin) pthread_spin_lock(&spin);
  if (kind == kJoin) pthread_create(&joined, NULL, run_joined, &by);
  pthread_create(&thread, NULL, run_waiter, &w);
  while (w.begin == 0) sleep_ns(500000);
  sleep_ns(milliseconds(30));
  const uint64_t now = wall_ns();
  if (kind != kTimeout) let_go(kind);
  pthread_join(thread, NULL);
  log_line("wait", state_names[kind], w.tid, w.begin, w.end, by);
  log_line("thread", "", w.tid, w.begun, w.ended, 0);
  if (by != 0) log_line("end", state_names[kind], by, now, w.end, 0);
}

static void all_kinds(void) {
  int idle_tid = 0;
  pthread_t idle, thread;
  pthread_create(&idle, NULL, run_idle, &idle_tid);
  for (int kind = 0; kind < kKinds; ++kind) wait_once((enum kind)kind);
  struct waiter w = {0};
  pthread_create(&thread, NULL, run_burner, &w);
  pthread_join(thread, NULL);
  log_line("burn", "burner", w.tid, w.begin, w.end, 0);
  log_line("idle", "idle", idle_tid, 0, 0, 0);
}

static void *wait_for_good(void *argument) {
  pthread_setname_np(pthread_self(), "stuck");
  *(volatile int *)argument = tid();
  pthread_mutex_lock(&mutex);
  return NULL;
}

static void *wait_shortly(void *argument) {
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&of_condition);
  for (long i = *(long *)argument; i > 0; --i) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 30000;
    if (until.tv_nsec >= 1000000000) ++until.tv_sec, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&never, &of_condition, &until);
  }
  pthread_mutex_unlock(&of_condition);
  return NULL;
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "all";
  long count = (long)argument(argc, argv, 2, 1000);
  sem_init(&semaphore, 0, 0);
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_spin_init(&spin, 0);
  pthread_t thread;
  if (strcmp(kind, "all") == 0) all_kinds();
  if (strcmp(kind, "forks") == 0) {
    wait_once(kMutex);
    printf("]}\n");
    fflush(stdout);
    is_first_line = 1;
    const pid_t child = fork();
    if (child == 0) {
      wait_once(kCondition);
      printf("]}\n");
      return 0;
    }
    waitpid(child, NULL, 0);
    printf("{\"child\": %d}\n", (int)child);
    return 0;
  }
  if (strcmp(kind, "waits") == 0) {
    pthread_t stuck;
    pthread_mutex_lock(&mutex);
    pthread_create(&stuck, NULL, wait_for_good, (void *)&stuck_tid);
    until_asleep(&stuck_tid);
    pthread_create(&thread, NULL, wait_shortly, &count);
    pthread_join(thread, NULL);
  }
  if (strcmp(kind, "threads") == 0) {
    long one = 1;
    for (long i = 0; i < count; ++i) {
      pthread_create(&thread, NULL, wait_shortly, &one);
      pthread_join(thread, NULL);
    }
  }
  if (strcmp(kind, "ends_waiting") == 0) {
    pthread_mutex_lock(&mutex);
    pthread_create(&thread, NULL, wait_for_good, (void *)&stuck_tid);
    until_asleep(&stuck_tid);
    sleep_ns(milliseconds(60));
  }
  printf(is_first_line ? "{\"log\": []}\n" : "]}\n");
  return 0;
}
