// Waits by io_uring_enter, which the kernel ends with EINTR for any signal, and never restarts. Prints, as JSON, how many waits there were
// and how many of them ended so; `"ring": 0` where there are no rings.
//   computes SECONDS THREADS [handles]  each thread computes for some 10 us and waits for 50, by turns: no signal comes, though one may be
//     handled
//   signalled TIMES HOW  a thread waits for two seconds, and is sent a signal that has a handler. HOW, words: `once`: it is to be called
//     once; `resets`: it puts the default in its place; `blocks`: it blocks every signal and computes, and a tick that falls due meanwhile
//     comes when it returns; `abort`: the signal is SIGABRT
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asleep.h"
#include "victim.h"

enum { kMostThreads = 8 };
static const struct __kernel_timespec kShort = {0, 50000}, kLong = {2, 0};

struct Thread {
  pthread_t thread;
  volatile int tid;
  int ring;
  double seconds;
  int waits, interrupted, failed;
};

BURNER(computes, 6364136223846793005u)

static int new_ring(void) {
  struct io_uring_params parameters = {0};
  return (int)syscall(SYS_io_uring_setup, 4, &parameters);
}

static void wait_on(struct Thread *t, const struct __kernel_timespec *time) {
  const struct io_uring_getevents_arg limit = {.ts = (uint64_t)(uintptr_t)time};
  const long result =
      syscall(SYS_io_uring_enter, t->ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &limit, sizeof limit);
  ++t->waits;
  if (result < 0 && errno == EINTR) {
    ++t->interrupted;
  } else if (result >= 0 || errno != ETIME) {
    ++t->failed;
  }
}

static void *computes_and_waits(void *argument) {
  struct Thread *t = argument;
  const uint64_t ends = wall_ns() + seconds(t->seconds);
  while (wall_ns() < ends) {
    for (volatile int i = 0; i < 5000;) i = i + 1;
    wait_on(t, &kShort);
  }
  return NULL;
}

static const char *how;
static volatile sig_atomic_t handled;

static void *waits(void *argument) {
  struct Thread *t = argument;
  const int handled_before = handled, interrupted_before = t->interrupted;
  t->tid = (int)syscall(SYS_gettid);
  wait_on(t, &kLong);
  // Ended by a tick, which may happen to a thread once: not what is waited for.
  while (t->interrupted != interrupted_before && handled == handled_before) {
    --t->waits, --t->interrupted;
    wait_on(t, &kLong);
  }
  return NULL;
}

static int is(const char *word) { return strstr(how, word) != NULL; }

static void on_signal(int number) {
  // One tick or more: of threads that have just begun the first comes at the kernel's.
  if (is("blocks")) computes(milliseconds(12));
  if (is("resets")) signal(number, SIG_DFL);
  ++handled;
}

static void handle(int number) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = is("once") ? (int)SA_RESETHAND : 0};
  if (is("blocks")) sigfillset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

int main(int argc, char **argv) {
  struct Thread all[kMostThreads] = {{0}};
  const int computing = argc > 1 && strcmp(argv[1], "computes") == 0;
  const int count = (int)argument(argc, argv, computing ? 3 : 2, 1);
  struct Thread sum = {0};
  int rings = 1;
  if (computing) {
    if (argc > 4) signal(SIGUSR1, on_signal);
    for (int i = 0; i < count && i < kMostThreads; ++i) {
      all[i].ring = new_ring();
      rings &= all[i].ring >= 0;
      all[i].seconds = argument(argc, argv, 2, 1);
      pthread_create(&all[i].thread, NULL, computes_and_waits, &all[i]);
    }
    for (int i = 0; i < count && i < kMostThreads; ++i) {
      pthread_join(all[i].thread, NULL);
      sum.waits += all[i].waits, sum.interrupted += all[i].interrupted, sum.failed += all[i].failed;
    }
  } else {
    how = argc > 3 ? argv[3] : "";
    const int number = is("abort") ? SIGABRT : SIGUSR1;
    sum.ring = new_ring();
    rings = sum.ring >= 0;
    for (int i = 0; i < count && rings; ++i) {
      handle(number);
      sum.tid = 0;
      pthread_create(&sum.thread, NULL, waits, &sum);
      until_asleep(&sum.tid);
      pthread_kill(sum.thread, number);
      pthread_join(sum.thread, NULL);
    }
  }
  printf("{\"ring\": %d, \"waits\": %d, \"interrupted\": %d, \"failed\": %d, \"handled\": %d, \"cpu_ns\": %llu}\n",
         rings, sum.waits, sum.interrupted, sum.failed, (int)handled, (unsigned long long)process_cpu_ns());
}
