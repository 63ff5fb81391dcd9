// Shows waits, and threads that are looked at, in ways that few tests do. Arguments: how, and what of it. How:
// pairs ROUNDS: of mutexes and conditions, each used once: a signaller and one who wants the mutex meet there
// lost ROUNDS: signals that come a moment before anybody waits
// shared: a condition of two processes; the other one takes the signal
// forks sem|cond THREADS: in a signal handler, in the middle of a wait; the child comes back from it, and exits
// descriptors SECONDS: the lowest free one, its own, and those that a child has
// bare_exit: the system call, by the only thread
// exits, or cancels CALL: a thread in the middle of a wait, by a handler's pthread_exit or at once
// jumps: out of a sem_wait; then it computes until there is a line on stdin, and sleeps until there is one more
// alone recursive|robust|pi|rwlock: nobody else is there
// not_dumpable SECONDS: of computing
// burns THREADS LATE: until there is a line on stdin; they sleep until there is one more. LATE more, of the least priority: on one
//   processor they begin long after they were made; they compute a moment longer
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.h"
#include "victim.h"

enum { kPairs = 20000, kAloneTimes = 20000, kSmallStack = 65536, kChildCode = 7 };

static pthread_t started(void *(*function)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, argument) != 0) abort();
  return thread;
}

static void is_said(const char *line) {
  puts(line);
  fflush(stdout);
}

static void a_moment(void) { usleep(50000); }

// Waits that end soon, and together with somebody else's.
static void spin_until(atomic_int *counter, int value) {
  for (int i = 1; atomic_load(counter) < value; ++i) {
    if (i % 20000 == 0) sched_yield();
  }
}
static void sleep_until(atomic_int *counter, int value) {
  while (atomic_load(counter) < value) usleep(20);
}
static void loop(uint32_t times) {
  for (; times > 0; --times) __asm__ volatile("");
}

// What was waited for a mutex in truth, or somewhat more: by those who lock it, and by those who were signalled.
static atomic_ullong waited_ns;

static void lock_timed(pthread_mutex_t *mutex) {
  uint64_t since = wall_ns();
  pthread_mutex_lock(mutex);
  atomic_fetch_add(&waited_ns, wall_ns() - since);
}

static struct Pair {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int is_ready;
} pairs[kPairs];
static int rounds;
static atomic_int begun, waiting, signalled, blocker_done, waiter_done;
static atomic_ullong signalled_at;

static void *pair_waits(void *unused) {
  for (int i = 1; i <= rounds; ++i) {
    struct Pair *pair = &pairs[i % kPairs];
    sleep_until(&begun, i);
    lock_timed(&pair->mutex);
    atomic_store(&waiting, i);
    while (!pair->is_ready) pthread_cond_wait(&pair->condition, &pair->mutex);
    atomic_fetch_add(&waited_ns, wall_ns() - atomic_load(&signalled_at));
    pthread_mutex_unlock(&pair->mutex);
    atomic_store(&waiter_done, i);
  }
  return unused;
}

static void *pair_blocks(void *unused) {
  for (int i = 1; i <= rounds; ++i) {
    spin_until(&signalled, i);
    lock_timed(&pairs[i % kPairs].mutex);
    pthread_mutex_unlock(&pairs[i % kPairs].mutex);
    atomic_store(&blocker_done, i);
  }
  return unused;
}

NOT_INLINED static void locks_alone(void) {
  for (int i = 0; i < kPairs; ++i) {
    pthread_mutex_lock(&pairs[i].mutex);
    pthread_mutex_unlock(&pairs[i].mutex);
  }
  NOT_A_TAIL_CALL();
}

static void use_pairs(void) {
  uint64_t random = 4711;
  pthread_t waiter = started(pair_waits, NULL), blocker = started(pair_blocks, NULL);
  for (int i = 1; i <= rounds; ++i) {
    struct Pair *pair = &pairs[i % kPairs];
    pair->is_ready = 0;
    atomic_store(&begun, i);
    sleep_until(&waiting, i);
    lock_timed(&pair->mutex);
    pair->is_ready = 1;
    atomic_store(&signalled_at, wall_ns());
    atomic_store(&signalled, i);
    loop(next_number(&random) % 8000);
    pthread_cond_signal(&pair->condition);
    loop(2000);
    pthread_mutex_unlock(&pair->mutex);
    spin_until(&blocker_done, i);
    spin_until(&waiter_done, i);
  }
  pthread_join(waiter, NULL);
  pthread_join(blocker, NULL);
  for (int i = 0; i < 2; ++i) {
    a_moment();
    locks_alone();
  }
  printf("{\"waited_ns\": %llu}\n", waited_ns);
}

static struct Pair lost = {.mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
static struct timespec *until;  // a page of its own, that cannot be read yet: the C library looks before it waits
static atomic_int lost_signals;

static void signals_here(int number) {
  (void)number;
  mprotect(until, sizeof(*until), PROT_READ);
  pthread_cond_signal(&lost.condition);
  ++lost_signals;
}

static void *lost_waits(void *unused) {
  for (int i = 1; i <= rounds; ++i) {
    mprotect(until, sizeof(*until), PROT_READ | PROT_WRITE);
    clock_gettime(CLOCK_REALTIME, until);
    until->tv_nsec += 60000000;
    if (until->tv_nsec >= 1000000000) *until = (struct timespec){until->tv_sec + 1, until->tv_nsec - 1000000000};
    mprotect(until, sizeof(*until), PROT_NONE);
    lock_timed(&lost.mutex);
    atomic_store(&waiting, i);
    while (pthread_cond_timedwait(&lost.condition, &lost.mutex, until) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&lost.mutex);
    sleep_until(&begun, i);
  }
  return unused;
}

NOT_INLINED static void unlocks_meanwhile(void) {
  lock_timed(&lost.mutex);
  pthread_mutex_unlock(&lost.mutex);
  NOT_A_TAIL_CALL();
}

static void lose_signals(void) {
  until = mmap(NULL, sizeof(*until), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  signal(SIGSEGV, signals_here);
  pthread_t waiter = started(lost_waits, NULL);
  for (int i = 1; i <= rounds; ++i) {
    sleep_until(&waiting, i);
    usleep(30000);
    unlocks_meanwhile();
    atomic_store(&begun, i);
  }
  pthread_join(waiter, NULL);
  printf("{\"waited_ns\": %llu, \"lost\": %d}\n", waited_ns, lost_signals);
}

static struct Shared {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  atomic_int tokens, waiting, taken_by;  // 1: the other process
} * shared;

static void take_token(int who) {
  pthread_mutex_lock(&shared->mutex);
  ++shared->waiting;
  while (shared->tokens == 0) pthread_cond_wait(&shared->condition, &shared->mutex);
  --shared->tokens;
  if (shared->taken_by == 0) shared->taken_by = who;
  pthread_mutex_unlock(&shared->mutex);
}

static void *takes_token(void *unused) {
  take_token(2);
  return unused;
}

static void give_token(void) {
  pthread_mutex_lock(&shared->mutex);
  ++shared->tokens;
  pthread_cond_signal(&shared->condition);
  pthread_mutex_unlock(&shared->mutex);
}

NOT_INLINED static void locks_shared(void) {
  lock_timed(&shared->mutex);
  pthread_mutex_unlock(&shared->mutex);
  NOT_A_TAIL_CALL();
}

static void share(void) {
  shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t of_mutex;
  pthread_mutexattr_init(&of_mutex);
  pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &of_mutex);
  pthread_condattr_t of_condition;
  pthread_condattr_init(&of_condition);
  pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->condition, &of_condition);
  pid_t child = fork();
  if (child == 0) {
    take_token(1);
    _exit(0);
  }
  sleep_until(&shared->waiting, 1);
  a_moment();
  pthread_t thread = started(takes_token, NULL);
  sleep_until(&shared->waiting, 2);
  a_moment();
  give_token();  // to the one who waits longer
  sleep_until(&shared->taken_by, 1);
  int taken_by = shared->taken_by;
  for (int i = 0; i < 5; ++i) {
    a_moment();
    locks_shared();
  }
  give_token();
  pthread_join(thread, NULL);
  waitpid(child, NULL, 0);
  printf("{\"waited_ns\": %llu, \"taken_by\": %d}\n", waited_ns, taken_by);
}

static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static atomic_int child = -1;
static const char *what;
static volatile int waits;  // the thread that does

static void *pauses(void *unused) {
  pause();
  return unused;
}

static void forks_here(int number) {
  (void)number;
  child = fork();
  // A condition's wait does not end by a signal's handler.
  if (strcmp(what, "cond") == 0) pthread_cond_signal(&condition);
}

static void *forks_in_wait(void *unused) {
  int as_ever;
  waits = (int)syscall(SYS_gettid);
  if (strcmp(what, "sem") == 0) {
    as_ever = sem_wait(&semaphore) == -1 && errno == EINTR;
  } else {
    pthread_mutex_lock(&mutex);
    as_ever = pthread_cond_wait(&condition, &mutex) == 0;
    pthread_mutex_unlock(&mutex);
  }
  if (!as_ever) abort();
  if (child == 0) exit(kChildCode);
  return unused;
}

static void fork_in_handler(int threads) {
  struct sigaction action = {.sa_handler = forks_here};
  sigaction(SIGUSR1, &action, NULL);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, kSmallStack);
  pthread_t thread;
  for (int i = 0; i < threads; ++i) pthread_create(&thread, &small, pauses, NULL);
  thread = started(forks_in_wait, NULL);
  // It comes after so many others: a signal before its wait would be nothing that wakes it.
  until_asleep(&waits);
  pthread_kill(thread, SIGUSR1);
  pthread_join(thread, NULL);
  int status;
  if (waitpid(child, &status, 0) != child) abort();
  printf("{\"exited\": %d, \"code\": %d}\n", WIFEXITED(status),
         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int has_strays(void) {
  for (int i = 3; i < 30; ++i) {
    if (fcntl(i, F_GETFD) >= 0) return 1;
  }
  return 0;
}

static void use_descriptors(uint64_t ns) {
  long opens = 0, not_lowest = 0, writes = 0, failed = 0, forks = 0, strays = 0;
  for (int i = 3; i < 100; ++i) close(i);
  close(0);
  for (uint64_t until = wall_ns() + ns; wall_ns() < until; ++opens) {
    int fd = open("/dev/null", O_RDWR);
    not_lowest += fd != 0;
    close(fd);
  }
  open("/dev/null", O_RDWR);
  for (uint64_t until = wall_ns() + ns; wall_ns() < until; ++writes) {
    for (int i = 3; i < 10; ++i) close(i);
    int fd = open("/dev/null", O_RDWR);
    loop(300);
    failed += write(fd, "x", 1) != 1;
    close(fd);
  }
  for (uint64_t until = wall_ns() + ns; wall_ns() < until; ++forks) {
    pid_t pid = fork();
    if (pid == 0) _exit(has_strays());
    int status;
    waitpid(pid, &status, 0);
    strays += status != 0;
  }
  printf("{\"opens\": %ld, \"not_lowest\": %ld, \"writes\": %ld, \"failed\": %ld, \"forks\": %ld, \"strays\": %ld}\n",
         opens, not_lowest, writes, failed, forks, strays);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;

static void *waits_for_end(void *unused) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_sec += 1000;
  if (strcmp(what, "lock") == 0) pthread_mutex_lock(&mutex);
  if (strcmp(what, "timedlock") == 0) pthread_mutex_timedlock(&mutex, &time);
  if (strcmp(what, "rdlock") == 0) pthread_rwlock_rdlock(&rwlock);
  if (strcmp(what, "timedrdlock") == 0) pthread_rwlock_timedrdlock(&rwlock, &time);
  if (strcmp(what, "barrier") == 0) pthread_barrier_wait(&barrier);
  if (strcmp(what, "spin") == 0) pthread_spin_lock(&spin);
  return unused;
}

static void exits_here(int number) {
  (void)number;
  pthread_exit(&child);
}

static void end_in_wait(int by_handler) {
  pthread_mutex_lock(&mutex);
  pthread_rwlock_wrlock(&rwlock);
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_spin_init(&spin, 0);
  pthread_spin_lock(&spin);
  signal(SIGUSR1, exits_here);
  pthread_t thread = started(waits_for_end, NULL);
  a_moment();
  if (by_handler) {
    pthread_kill(thread, SIGUSR1);
  } else {
    pthread_cancel(thread);
  }
  void *result;
  pthread_join(thread, &result);
  printf("%s %s\n", what, result == &child ? "exited" : result == PTHREAD_CANCELED ? "cancelled" : "came back");
}

static sigjmp_buf out;

static void jumps_out(int number) {
  (void)number;
  siglongjmp(out, 1);
}

NOT_INLINED static void waits_before(void) {
  if (sigsetjmp(out, 1) == 0) {
    const struct itimerval soon = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    sem_wait(&semaphore);
  }
}

NOT_INLINED static void computes_after(void) {
  struct pollfd line = {.fd = 0, .events = POLLIN};
  while (poll(&line, 1, 0) == 0) loop(3000000);
}

NOT_INLINED static void sleeps_after(void) {
  char byte;
  while (read(0, &byte, 1) == 1 && byte != '\n') continue;
  is_said("sleeps");
  while (read(0, &byte, 1) == 1 && byte != '\n') continue;
}

static void jump_out(void) {
  signal(SIGALRM, jumps_out);
  uint64_t since = wall_ns();
  waits_before();
  uint64_t until = wall_ns();
  is_said("ready");
  computes_after();
  sleeps_after();
  printf("{\"waited_ns\": %llu, \"after_ns\": %llu}\n", (unsigned long long)(until - since),
         (unsigned long long)(wall_ns() - until));
}

static void use_alone(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  if (strcmp(what, "robust") == 0) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (strcmp(what, "pi") == 0) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_t own;
  pthread_mutex_init(&own, &attributes);
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_sec += 1000;
  pthread_mutex_lock(&own);
  int refused = 0;
  for (int i = 0; i < kAloneTimes; ++i) {
    if (strcmp(what, "rwlock") != 0) {
      refused += pthread_mutex_lock(&own) != 0;
      refused += pthread_mutex_timedlock(&own, &time) != 0;
      refused += pthread_mutex_unlock(&own) != 0;
      refused += pthread_mutex_unlock(&own) != 0;
    } else {
      refused += pthread_rwlock_wrlock(&rwlock) != 0;
      refused += pthread_rwlock_unlock(&rwlock) != 0;
      refused += pthread_rwlock_timedrdlock(&rwlock, &time) != 0;
      refused += pthread_rwlock_unlock(&rwlock) != 0;
      refused += pthread_rwlock_timedwrlock(&rwlock, &time) != 0;
      refused += pthread_rwlock_unlock(&rwlock) != 0;
    }
  }
  printf("{\"refused\": %d}\n", refused);
}

BURNER(burns_here, 6364136223846793005u)

static atomic_int is_over, asleep;

static void *burns(void *unused) {
  while (!is_over) loop(3000000);
  ++asleep;
  pause();
  return unused;
}

static void *burns_longer(void *unused) {
  while (!is_over) loop(3000000);
  burns_here(milliseconds(40));
  ++asleep;
  pause();
  return unused;
}

static void *makes_late(void *threads) {
  setpriority(PRIO_PROCESS, 0, 19);
  for (int i = 0; i < *(int *)threads; ++i) started(burns_longer, NULL);
  ++begun;
  pause();
  return threads;
}

static void burn(int threads, int late) {
  for (int i = 0; i < threads; ++i) started(burns, NULL);
  if (late > 0) started(makes_late, &late);
  sleep_until(&begun, late > 0);
  char byte;
  is_said("ready");
  while (read(0, &byte, 1) == 1 && byte != '\n') continue;
  is_over = 1;
  sleep_until(&asleep, threads + late);
  is_said("asleep");
  while (read(0, &byte, 1) == 1 && byte != '\n') continue;
}

int main(int argc, char **argv) {
  const char *how = argv[1];
  what = argc > 2 ? argv[2] : "";
  rounds = (int)argument(argc, argv, 2, 0);
  if (strcmp(how, "pairs") == 0) use_pairs();
  if (strcmp(how, "lost") == 0) lose_signals();
  if (strcmp(how, "shared") == 0) share();
  if (strcmp(how, "forks") == 0) fork_in_handler((int)argument(argc, argv, 3, 0));
  if (strcmp(how, "descriptors") == 0) use_descriptors(seconds(argument(argc, argv, 2, 0)));
  if (strcmp(how, "bare_exit") == 0) syscall(SYS_exit, 7);
  if (strcmp(how, "exits") == 0) end_in_wait(1);
  if (strcmp(how, "cancels") == 0) end_in_wait(0);
  if (strcmp(how, "jumps") == 0) jump_out();
  if (strcmp(how, "alone") == 0) use_alone();
  if (strcmp(how, "burns") == 0) burn((int)argument(argc, argv, 2, 0), (int)argument(argc, argv, 3, 0));
  if (strcmp(how, "not_dumpable") == 0) {
    prctl(PR_SET_DUMPABLE, 0);
    burns_here(seconds(argument(argc, argv, 2, 0)));
  }
  return 0;
}
