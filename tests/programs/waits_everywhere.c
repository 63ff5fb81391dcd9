// Shows threads that are named after what they do: each waits in one kind of call, waits_in_X() called by calls_X(),
// and some do not wait at all. Prints `ready` once they all do it, waits for a line on stdin (in waits_in_main()), lets
// everyone go, and prints the threads' ids and how many calls had ended before.
//
// Argument "shares" and seconds: threads that spend their time in one function or another, in slices of a length drawn
// at random (so that nobody who looks at regular times keeps in step), and the books of it: ns and slices. "others_delay":
// how long threads that are not the program's own, which are who looks, waited for a processor.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "victim.h"

static int released;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, is_read = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_barrier_t barrier;
static pthread_t joined;
static int word, polled[2], data[2], pair[2], listener, epoll;

static int is_released(void) { return __atomic_load_n(&released, __ATOMIC_ACQUIRE); }

BURNER(burns, 6364136223846793005u)
BURNER(burns_blocked, 2862933555777941757u)

#define WAIT(what, ...)                           \
  NOT_INLINED static void waits_in_##what(void) { \
    __VA_ARGS__;                                  \
    NOT_A_TAIL_CALL();                            \
  }                                               \
  NOT_INLINED static void calls_##what(void) {    \
    waits_in_##what();                            \
    NOT_A_TAIL_CALL();                            \
  }

static char byte;
WAIT(mutex, pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex))
WAIT(read_lock, pthread_rwlock_rdlock(&written); pthread_rwlock_unlock(&written))
WAIT(write_lock, pthread_rwlock_wrlock(&is_read); pthread_rwlock_unlock(&is_read))
WAIT(spin_lock, pthread_spin_lock(&spin); pthread_spin_unlock(&spin))
WAIT(condition, pthread_mutex_lock(&cond_mutex); while (!is_released()) pthread_cond_wait(&cond, &cond_mutex);
     pthread_mutex_unlock(&cond_mutex))
WAIT(semaphore, sem_wait(&semaphore))
WAIT(barrier, pthread_barrier_wait(&barrier))
WAIT(join, pthread_join(joined, NULL))
WAIT(futex, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
WAIT(nanosleep, nanosleep(&(struct timespec){100000, 0}, NULL))
WAIT(poll, poll(&(struct pollfd){polled[0], POLLIN, 0}, 1, -1))
WAIT(epoll_wait, struct epoll_event event; epoll_wait(epoll, &event, 1, -1))
WAIT(select, fd_set set; FD_ZERO(&set); FD_SET(polled[0], &set); select(polled[0] + 1, &set, NULL, NULL, NULL))
WAIT(read, if (read(data[0], &byte, 1) != 1) abort())
WAIT(recv, if (recv(pair[0], &byte, 1, 0) != 1) abort())
WAIT(accept, close(accept(listener, NULL, NULL)))
WAIT(pause, pause())
WAIT(busy, while (!is_released()) burns(milliseconds(1)))
WAIT(blocked_busy, while (!is_released()) burns_blocked(milliseconds(1)))
// With another limit: identical functions would be folded.
WAIT(blocked_poll, poll(&(struct pollfd){polled[0], POLLIN, 0}, 1, 100000000))

static struct Role {
  const char *name;
  void (*does)(void);
  int sleeps, blocks_profiling, early, tid;
  pthread_t thread;
} roles[] = {
    // The one that is joined comes first.
    {.name = "futex", .does = calls_futex, .sleeps = 1},
    {.name = "mutex", .does = calls_mutex, .sleeps = 1},
    {.name = "read_lock", .does = calls_read_lock, .sleeps = 1},
    {.name = "write_lock", .does = calls_write_lock, .sleeps = 1},
    {.name = "spin_lock", .does = calls_spin_lock},
    {.name = "condition", .does = calls_condition, .sleeps = 1},
    {.name = "semaphore", .does = calls_semaphore, .sleeps = 1},
    {.name = "barrier", .does = calls_barrier, .sleeps = 1},
    {.name = "join", .does = calls_join, .sleeps = 1},
    {.name = "nanosleep", .does = calls_nanosleep, .sleeps = 1},
    {.name = "poll", .does = calls_poll, .sleeps = 1},
    {.name = "epoll_wait", .does = calls_epoll_wait, .sleeps = 1},
    {.name = "select", .does = calls_select, .sleeps = 1},
    {.name = "read", .does = calls_read, .sleeps = 1},
    {.name = "recv", .does = calls_recv, .sleeps = 1},
    {.name = "accept", .does = calls_accept, .sleeps = 1},
    {.name = "pause", .does = calls_pause, .sleeps = 1},
    {.name = "busy", .does = calls_busy},
    {.name = "blocked_busy", .does = calls_blocked_busy, .blocks_profiling = 1},
    {.name = "blocked_poll", .does = calls_blocked_poll, .sleeps = 1, .blocks_profiling = 1},
};
enum { kRoles = sizeof roles / sizeof *roles };

NOT_INLINED static void *thread_lives(void *argument) {
  struct Role *role = argument;
  pthread_setname_np(pthread_self(), role->name);
  if (role->blocks_profiling) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
  }
  __atomic_store_n(&role->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
  role->does();
  role->early = !is_released();
  return NULL;
}

static void nap(uint64_t ns) {
  struct timespec rest = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) continue;
}

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

static void on_signal(int number) { (void)number; }

static int start_everyone(void) {
  if (pipe(polled) != 0 || pipe(data) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};  // no path: the kernel finds a name
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0 || listen(listener, 1) != 0) return 0;
  struct epoll_event event = {.events = EPOLLIN};
  epoll = epoll_create1(0);
  epoll_ctl(epoll, EPOLL_CTL_ADD, polled[0], &event);
  sigaction(SIGRTMAX, &(struct sigaction){.sa_handler = on_signal}, NULL);
  sem_init(&semaphore, 0, 0);
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  pthread_mutex_lock(&mutex);
  pthread_rwlock_wrlock(&written);
  pthread_rwlock_rdlock(&is_read);
  pthread_spin_lock(&spin);
  for (struct Role *role = roles; role < roles + kRoles; ++role) {
    if (pthread_create(&role->thread, NULL, thread_lives, role) != 0) return 0;
    if (role == roles) joined = role->thread;
  }
  for (struct Role *role = roles; role < roles + kRoles; ++role)
    while (!__atomic_load_n(&role->tid, __ATOMIC_ACQUIRE) || (role->sleeps && !is_asleep(role->tid)))
      nap(milliseconds(1));
  return 1;
}

static void let_everyone_go(void) {
  __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&mutex);
  pthread_rwlock_unlock(&written);
  pthread_rwlock_unlock(&is_read);
  pthread_spin_unlock(&spin);
  pthread_mutex_lock(&cond_mutex);
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&cond_mutex);
  sem_post(&semaphore);
  pthread_barrier_wait(&barrier);
  __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  getsockname(listener, (struct sockaddr *)&address, &length);
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(client, (struct sockaddr *)&address, length) != 0 || write(polled[1], "x", 1) != 1 ||
      write(data[1], "x", 1) != 1 || send(pair[1], "x", 1, 0) != 1)
    abort();
  for (struct Role *role = roles; role < roles + kRoles; ++role) {
    if (role->does == calls_nanosleep || role->does == calls_pause) pthread_kill(role->thread, SIGRTMAX);
    if (role != roles) pthread_join(role->thread, NULL);
  }
}

// How often it was interrupted.
NOT_INLINED static int waits_in_main(void) {
  int interrupted = 0;
  while (read(0, &byte, 1) < 0 && errno == EINTR) ++interrupted;
  return interrupted;
}

// What a thread did, by function.
struct Book {
  const char *function;
  uint64_t ns, slices;
};

// A thread that does two things in turn.
struct Worker {
  const char *name;
  void (*one)(uint64_t ns), (*other)(uint64_t ns);
  uint64_t one_ns, other_ns;  // in the mean
  struct Book books[2];
  pthread_t thread;
};

static uint64_t ends_ns;

// The call is not repeated where a signal ends it: the books say how long it was.
static void sleep_once(uint64_t ns) { nanosleep(&(struct timespec){0, (long)ns}, NULL); }

#define SLICE(name, ...)                      \
  NOT_INLINED static void name(uint64_t ns) { \
    __VA_ARGS__;                              \
    NOT_A_TAIL_CALL();                        \
  }

SLICE(sleeps_long, sleep_once(ns))
SLICE(sleeps_short, sleep_once(ns + 1))
SLICE(polls_here, poll(NULL, 0, (int)(ns / 1000000u)))
SLICE(runs_here, burns(ns))
SLICE(runs_always, burns_blocked(ns))
SLICE(locks_here, (void)ns; pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex))
SLICE(stays_away, sleep_once(ns + 2))
SLICE(holds_here, pthread_mutex_lock(&mutex); sleep_once(ns); pthread_mutex_unlock(&mutex))
SLICE(lets_go, sleep_once(ns + 3))
SLICE(sleeps_between, sleep_once(ns + 4))
NOT_INLINED static void waits_for_condition(uint64_t ns) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  ns += (uint64_t)until.tv_nsec;
  until.tv_sec += (time_t)(ns / 1000000000u), until.tv_nsec = (long)(ns % 1000000000u);
  pthread_mutex_lock(&cond_mutex);
  while (pthread_cond_timedwait(&cond, &cond_mutex, &until) == 0) continue;
  pthread_mutex_unlock(&cond_mutex);
}

#define WORKER(name, one, one_ms, other, other_ms) \
  { name, one, other, one_ms * 1000000u, other_ms * 1000000u, {{#one, 0, 0}, {#other, 0, 0}}, 0 }
static struct Worker workers[] = {
    WORKER("sleeper", sleeps_long, 15, sleeps_short, 5),
    WORKER("poller", polls_here, 15, runs_here, 10),
    WORKER("locker", locks_here, 0, stays_away, 4),
    WORKER("holder", holds_here, 16, lets_go, 4),
    WORKER("conditions", waits_for_condition, 15, sleeps_between, 5),
    WORKER("runner", runs_always, 20, runs_always, 20),
};
enum { kWorkers = sizeof workers / sizeof *workers };

NOT_INLINED static void *works(void *argument) {
  struct Worker *worker = argument;
  uint64_t state = 4711 + (uint64_t)(worker - workers);
  pthread_setname_np(pthread_self(), worker->name);
  for (int which = 0; wall_ns() < ends_ns; which = !which) {
    struct Book *book = &worker->books[which];
    // Between nothing and twice the mean.
    const uint64_t ns = (which ? worker->other_ns : worker->one_ns) * (next_number(&state) % 2001) / 1000;
    const uint64_t start = wall_ns();
    (which ? worker->other : worker->one)(ns);
    book->ns += wall_ns() - start;
    ++book->slices;
  }
  return NULL;
}

NOT_INLINED static void joins_here(void) {
  for (int i = 0; i < kWorkers; ++i) pthread_join(workers[i].thread, NULL);
}

// Of this process's threads but the calling one, once its own have ended: how long they were runnable and did not run.
static uint64_t delay_of_others(void) {
  uint64_t sum = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
    char path[300];
    unsigned long long ran, delayed;
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
    FILE *file = atoi(task->d_name) == getpid() ? NULL : fopen(path, "r");
    if (file == NULL) continue;
    if (fscanf(file, "%llu %llu", &ran, &delayed) == 2) sum += delayed;
    fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  return sum;
}

static int shares(double lasts) {
  const uint64_t start = wall_ns();
  ends_ns = start + seconds(lasts);
  for (struct Worker *worker = workers; worker < workers + kWorkers; ++worker)
    if (pthread_create(&worker->thread, NULL, works, worker) != 0) return 3;
  puts("ready");
  fflush(stdout);
  joins_here();
  printf("{\"elapsed\": %llu, \"others_delay\": %llu, \"threads\": {", (unsigned long long)(wall_ns() - start),
         (unsigned long long)delay_of_others());
  for (struct Worker *worker = workers; worker < workers + kWorkers; ++worker) {
    // The runner has one function only.
    const int kinds = worker->one == worker->other ? 1 : 2;
    if (kinds == 1) worker->books[0].ns += worker->books[1].ns, worker->books[0].slices += worker->books[1].slices;
    printf("%s\"%s\": {", worker == workers ? "" : ", ", worker->name);
    for (int i = 0; i < kinds; ++i)
      printf("%s\"%s\": [%llu, %llu]", i ? ", " : "", worker->books[i].function,
             (unsigned long long)worker->books[i].ns, (unsigned long long)worker->books[i].slices);
    printf("}");
  }
  puts("}}");
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "shares") == 0) return shares(argument(argc, argv, 2, 5));
  if (!start_everyone()) return 3;
  puts("ready");
  fflush(stdout);
  const int interrupted = waits_in_main();
  let_everyone_go();
  int early = 0;
  printf("{\"main\": %d, \"threads\": {", (int)getpid());
  for (struct Role *role = roles; role < roles + kRoles; ++role) {
    printf("%s\"%s\": %d", role == roles ? "" : ", ", role->name, role->tid);
    early += role->early;
  }
  printf("}, \"early\": %d, \"main_interrupted\": %d}\n", early, interrupted);
  return 0;
}
