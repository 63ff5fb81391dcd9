// Waits by io_uring_enter, which the kernel ends with EINTR for any signal, and never restarts. Prints, as JSON, how many waits there were
// and how many of them ended so, or early: before there was anything to be had; `"ring": 0` where there are no rings.
//   computes SECONDS THREADS HOW  each thread computes for some 10 us and waits for 50, by turns: no signal comes, though with `handles`
//     one has a handler
//   brief TIMES SECONDS HOW  a thread waits for 50 us, and is in the kernel for so long; then another one
//   shares SECONDS HOW  `computes` by one thread, which a bare clone made: it has the thread-local data of the thread that made it
//   signalled TIMES HOW  a thread waits for two seconds, and is sent a signal that has a handler
// HOW, words: `blocks`: the handler blocks every signal and computes, and a tick that falls due meanwhile comes when it returns; `once`: it is
// to be called once; `resets`: it puts the default in its place; `abort`: the signal is SIGABRT; `called`: the waits are made by the C
// library's syscall(), `library`: by liburing, else by the bare instruction; `submits`: what is waited for is submitted by the same call; `long`: computing
// goes on for 2 ms more; `hardly`: only a fifth of it; `late`: the handler is set when the threads have run for 100 ms.
// build: -O2 -fomit-frame-pointer -pthread -Wl,--no-as-needed,-luring
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asleep.h"
#include "victim.h"

enum { kMostThreads = 8 };
static const struct __kernel_timespec kShort = {0, 50000}, kLong = {2, 0};

struct Thread {
  pthread_t thread;
  volatile int tid;
  struct io_uring ring;
  double seconds;
  int rings, waits, interrupted, early, failed;
};

BURNER(computes, 6364136223846793005u)

static const char *how = "";

static int is(const char *word) { return strstr(how, word) != NULL; }

static long called(int ring, int submits, int flags, const struct io_uring_getevents_arg *limit) {
  const long result = syscall(SYS_io_uring_enter, ring, submits, 1, flags, limit, sizeof *limit);
  return result < 0 ? -errno : result;
}

#ifdef NUMBER_IS_VARIABLE
static volatile long enter = SYS_io_uring_enter;
#else
enum { enter = SYS_io_uring_enter };
#endif

static long bare(int ring, int submits, int flags, const struct io_uring_getevents_arg *limit) {
  register long r10 __asm__("r10") = flags;
  register long r8 __asm__("r8") = (long)limit;
  register long r9 __asm__("r9") = sizeof *limit;
  long result = enter;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(ring), "S"(submits), "d"(1), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static void prepare_timeout(struct io_uring_sqe *entry, const struct __kernel_timespec *time) {
  io_uring_prep_timeout(entry, (struct __kernel_timespec *)(uintptr_t)time, 0, 0);
}

// Completed when the time is over. The ring's own words: liburing hands over what it was given only in the call that enters the kernel.
static void submit_timeout(struct io_uring *ring, const struct __kernel_timespec *time) {
  prepare_timeout(ring->sq.sqes, time);
  const unsigned at = *ring->sq.ktail;
  ring->sq.array[at & *ring->sq.kring_mask] = 0;
  __atomic_store_n(ring->sq.ktail, at + 1, __ATOMIC_RELEASE);
}

static int take_completion(struct io_uring *ring) {
  struct io_uring_cqe *completion;
  if (io_uring_peek_cqe(ring, &completion) != 0) return 0;
  io_uring_cqe_seen(ring, completion);
  return 1;
}

static long by_library(struct io_uring *ring, int submits, const struct __kernel_timespec *time) {
  struct io_uring_cqe *completion;
  if (!submits) return io_uring_wait_cqe_timeout(ring, &completion, (struct __kernel_timespec *)(uintptr_t)time);
  prepare_timeout(io_uring_get_sqe(ring), time);
  return io_uring_submit_and_wait(ring, 1);
}

static long by_call(struct io_uring *ring, int submits, const struct __kernel_timespec *time) {
  const struct io_uring_getevents_arg limit = {.ts = submits ? 0 : (uint64_t)(uintptr_t)time};
  const int flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  if (submits) submit_timeout(ring, time);
  return is("called") ? called(ring->ring_fd, submits, flags, &limit) : bare(ring->ring_fd, submits, flags, &limit);
}

static void wait_on(struct Thread *t, const struct __kernel_timespec *time) {
  const int submits = is("submits");
  const long result = is("library") ? by_library(&t->ring, submits, time) : by_call(&t->ring, submits, time);
  ++t->waits;
  if (submits && result == 1) {
    if (take_completion(&t->ring)) return;
    ++t->early;
    while (!take_completion(&t->ring)) sched_yield();
  } else if (result == -EINTR) {
    ++t->interrupted;
  } else if (result != -ETIME) {
    ++t->failed;
  }
}

static void *computes_and_waits(void *argument) {
  struct Thread *t = argument;
  const uint64_t ends = wall_ns() + seconds(t->seconds);
  while (wall_ns() < ends) {
    if (is("long")) computes(milliseconds(2));
    for (volatile int i = is("hardly") ? 4000 : 0; i < 5000;) i = i + 1;
    wait_on(t, &kShort);
  }
  return NULL;
}

static int computes_in_clone(void *argument) {
  computes_and_waits(argument);
  ((struct Thread *)argument)->tid = 0;
  return 0;
}

// The main thread makes no call of the C library's meanwhile: errno is the other's too.
static void compute_in_clone(double seconds, struct Thread *t) {
  static char stack[1 << 18] __attribute__((aligned(16)));
  t->seconds = seconds;
  t->tid = 1;
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (clone(computes_in_clone, stack + sizeof stack, flags, t) < 0) t->tid = 0, ++t->failed;
  const struct timespec pause = {0, 10000000};
  while (t->tid != 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void *waits_and_reads(void *argument) {
  struct Thread *t = argument;
  static char bytes[65536];
  const int zeros = open("/dev/zero", O_RDONLY);
  wait_on(t, &kShort);
  const uint64_t ends = thread_cpu_ns() + seconds(t->seconds);
  while (thread_cpu_ns() < ends) t->failed += read(zeros, bytes, sizeof bytes) != sizeof bytes;
  close(zeros);
  return NULL;
}

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

static void compute(int count, double seconds, struct Thread *sum) {
  struct Thread all[kMostThreads] = {{0}};
  if (is("handles") && !is("late")) handle(SIGUSR1);
  for (int i = 0; i < count && i < kMostThreads; ++i) {
    sum->rings &= io_uring_queue_init(4, &all[i].ring, 0) == 0;
    all[i].seconds = seconds;
    pthread_create(&all[i].thread, NULL, computes_and_waits, &all[i]);
  }
  if (is("late")) {
    usleep(100000);
    handle(SIGUSR1);
  }
  for (int i = 0; i < count && i < kMostThreads; ++i) {
    pthread_join(all[i].thread, NULL);
    sum->waits += all[i].waits, sum->interrupted += all[i].interrupted;
    sum->early += all[i].early, sum->failed += all[i].failed;
  }
}

static void signal_each(int times, struct Thread *t) {
  const int number = is("abort") ? SIGABRT : SIGUSR1;
  for (int i = 0; i < times; ++i) {
    handle(number);
    t->tid = 0;
    pthread_create(&t->thread, NULL, waits, t);
    until_asleep(&t->tid);
    pthread_kill(t->thread, number);
    pthread_join(t->thread, NULL);
  }
}

static void come_one_by_one(int times, double seconds, struct Thread *t) {
  t->seconds = seconds;
  for (int i = 0; i < times; ++i) {
    pthread_create(&t->thread, NULL, waits_and_reads, t);
    pthread_join(t->thread, NULL);
  }
}

int main(int argc, char **argv) {
  struct Thread sum = {.rings = 1};
  const char *mode = argc > 1 ? argv[1] : "";
  const int computes = strcmp(mode, "computes") == 0, brief = strcmp(mode, "brief") == 0;
  const int at = computes || brief ? 4 : 3;
  how = argc > at ? argv[at] : "";
  const double first = argument(argc, argv, 2, 1), second = argument(argc, argv, 3, 1);
  if (computes) {
    compute((int)second, first, &sum);
  } else if (io_uring_queue_init(4, &sum.ring, 0) != 0) {
    sum.rings = 0;
  } else if (brief) {
    come_one_by_one((int)first, second, &sum);
  } else if (strcmp(mode, "shares") == 0) {
    compute_in_clone(first, &sum);
  } else if (strcmp(mode, "signalled") == 0) {
    signal_each((int)first, &sum);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf(
      "{\"ring\": %d, \"waits\": %d, \"interrupted\": %d, \"early\": %d, \"failed\": %d, \"handled\": %d, \"cpu_ns\": "
      "%llu, \"kernel_ns\": %llu}\n",
      sum.rings, sum.waits, sum.interrupted, sum.early, sum.failed, (int)handled, (unsigned long long)process_cpu_ns(),
      usage.ru_stime.tv_sec * 1000000000ull + usage.ru_stime.tv_usec * 1000ull);
}
