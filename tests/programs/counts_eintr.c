// Shows threads that compute and wait in turn, and counts what a signal would do to the waits: those that it ends
// (EINTR), and how much longer, or shorter, than asked each was. No call is repeated. Nobody sends a signal to any of
// these threads. SIGUSR2 for the process is the main thread's, which only naps and joins, and the others block it: the
// kernel ends a sigtimedwait() that begins while an unblocked signal for the process is still on its way to whoever
// takes it (with a handler of any kind: a few a minute, at 100 signals a second).
//
// Four threads go from one kind of call to the next, with 30 us of work and a wait of 50 us each (a millisecond where
// the call knows no less, and those in every eighth round only); and for each kind one thread waits for 200 ms each
// time. A wait that has no time limit is ended by a partner of the thread.
//
// Arguments: seconds, and whether the main thread does send signals, with a handler that asks for SA_RESTART: to see
// them counted. Prints `ready` first, `measured` at the end, and the numbers (JSON; the times are ns beyond what was
// asked for) after a line on stdin, or its end.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "victim.h"

enum { kHoppers = 4, kMost = 1 << 17, kShortNs = 50000, kWorkNs = 30000, kLongNs = 200000000 };

// What a thread waits with: nobody else's but its partner's.
struct Thread {
  int pipe[2], empty[2], pair[2], timed_pair[2], listener, epoll, semaphores, messages, ring;
  struct sockaddr_un address;
  socklen_t address_length;
  sem_t posted, never;
  const struct Kind *only;  // or all of them
  uint64_t ns;
  pthread_t thread, partner;
  // The partner's work: to end a wait of this kind after so long. `asked` counts.
  const struct Kind *ends;
  int asked;
};

// Returns -1 with errno, or 0; a call that ends in time has not failed.
struct Kind {
  const char *name;
  int (*wait)(struct Thread *, uint64_t ns);
  void (*end)(struct Thread *);  // by the partner, of a wait without a limit
  uint64_t least_ns;
};

struct Numbers {
  int waits, interrupted, failed, failed_errno;
  int64_t *over;
};
enum Length { kShort, kLong, kLengths };

static int stops, partners_interrupted;

static struct timespec after(uint64_t ns) {
  return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

static struct timespec from_now(clockid_t clock, uint64_t ns) { return after(clock_ns(clock) + ns); }

// The error of a call, unless it is the one by which it says that the time is over.
static int unless(int expected, long result) { return result < 0 && errno != expected ? -1 : 0; }

static int of_number(int error) {
  errno = error;
  return error == 0 ? 0 : -1;
}

#define WAIT(what) NOT_INLINED static int what##_waits(struct Thread *t, uint64_t ns)

WAIT(nanosleep) {
  (void)t;
  const struct timespec rest = after(ns);
  return nanosleep(&rest, NULL);
}
WAIT(clock_nanosleep) {
  (void)t;
  const struct timespec rest = after(ns);
  return of_number(clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL));
}
WAIT(clock_nanosleep_until) {
  (void)t;
  const struct timespec until = from_now(CLOCK_MONOTONIC, ns);
  return of_number(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
}
WAIT(usleep) {
  (void)t;
  return usleep((useconds_t)(ns / 1000));
}
WAIT(poll) {
  struct pollfd one = {t->empty[0], POLLIN, 0};
  return poll(&one, 1, (int)(ns / 1000000));
}
WAIT(ppoll) {
  struct pollfd one = {t->empty[0], POLLIN, 0};
  const struct timespec rest = after(ns);
  return ppoll(&one, 1, &rest, NULL);
}
WAIT(epoll_wait) {
  struct epoll_event got;
  return epoll_wait(t->epoll, &got, 1, (int)(ns / 1000000));
}
WAIT(epoll_pwait2) {
  struct epoll_event got;
  const struct timespec rest = after(ns);
  return epoll_pwait2(t->epoll, &got, 1, &rest, NULL);
}
WAIT(select) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(t->empty[0], &set);
  struct timeval rest = {(time_t)(ns / 1000000000u), (suseconds_t)(ns % 1000000000u / 1000)};
  return select(t->empty[0] + 1, &set, NULL, NULL, &rest);
}
WAIT(sem_timedwait) {
  const struct timespec until = from_now(CLOCK_REALTIME, ns);
  return unless(ETIMEDOUT, sem_timedwait(&t->never, &until));
}
WAIT(futex) {
  (void)t;
  int word = 0;
  const struct timespec rest = after(ns);
  return unless(ETIMEDOUT, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &rest, NULL, 0));
}
WAIT(semtimedop) {
  struct sembuf take = {1, -1, 0};
  const struct timespec rest = after(ns);
  return unless(EAGAIN, semtimedop(t->semaphores, &take, 1, &rest));
}
WAIT(sigtimedwait) {
  (void)t;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMAX);
  const struct timespec rest = after(ns);
  return unless(EAGAIN, sigtimedwait(&set, NULL, &rest));
}
WAIT(io_uring_enter) {
  const struct timespec rest = after(ns);
  struct io_uring_getevents_arg limit = {.ts = (uint64_t)(uintptr_t)&rest};
  return unless(ETIME, syscall(SYS_io_uring_enter, t->ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &limit,
                               sizeof limit));
}
WAIT(recv_timeout) {
  const struct timeval limit = {(time_t)(ns / 1000000000u), (suseconds_t)(ns % 1000000000u / 1000)};
  char byte;
  if (setsockopt(t->timed_pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) abort();
  return unless(EAGAIN, recv(t->timed_pair[0], &byte, 1, 0));
}

// Without a limit.
WAIT(read) {
  char byte;
  (void)ns;
  return unless(0, read(t->pipe[0], &byte, 1));
}
WAIT(recv) {
  char byte;
  (void)ns;
  return unless(0, recv(t->pair[0], &byte, 1, 0));
}
WAIT(accept) {
  (void)ns;
  const int connection = accept(t->listener, NULL, NULL);
  if (connection < 0) return -1;
  close(connection);
  return 0;
}
WAIT(sem_wait) {
  (void)ns;
  return sem_wait(&t->posted);
}
WAIT(semop) {
  (void)ns;
  struct sembuf take = {0, -1, 0};
  return semop(t->semaphores, &take, 1);
}
struct Message {
  long type;
  char text[1];
};
WAIT(msgrcv) {
  (void)ns;
  struct Message message;
  return unless(0, msgrcv(t->messages, &message, 1, 0, 0));
}

static void read_ends(struct Thread *t) {
  if (write(t->pipe[1], "x", 1) != 1) abort();
}
static void recv_ends(struct Thread *t) {
  if (send(t->pair[1], "x", 1, 0) != 1) abort();
}
static void accept_ends(struct Thread *t) {
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(client, (struct sockaddr *)&t->address, t->address_length) != 0) abort();
  close(client);
}
static void sem_wait_ends(struct Thread *t) { sem_post(&t->posted); }
static void semop_ends(struct Thread *t) {
  struct sembuf give = {0, 1, 0};
  if (semop(t->semaphores, &give, 1) != 0) abort();
}
static void msgrcv_ends(struct Thread *t) {
  const struct Message message = {1, "x"};
  if (msgsnd(t->messages, &message, 1, 0) != 0) abort();
}

static struct Kind kinds[] = {
    {"nanosleep", nanosleep_waits, NULL, 0},
    {"clock_nanosleep", clock_nanosleep_waits, NULL, 0},
    {"clock_nanosleep_until", clock_nanosleep_until_waits, NULL, 0},
    {"usleep", usleep_waits, NULL, 0},
    {"poll", poll_waits, NULL, 1000000},
    {"ppoll", ppoll_waits, NULL, 0},
    {"epoll_wait", epoll_wait_waits, NULL, 1000000},
    {"epoll_pwait2", epoll_pwait2_waits, NULL, 0},
    {"select", select_waits, NULL, 0},
    {"sem_timedwait", sem_timedwait_waits, NULL, 0},
    {"futex", futex_waits, NULL, 0},
    {"semtimedop", semtimedop_waits, NULL, 0},
    {"sigtimedwait", sigtimedwait_waits, NULL, 0},
    {"io_uring_enter", io_uring_enter_waits, NULL, 0},
    {"recv_timeout", recv_timeout_waits, NULL, 1000000},
    {"read", read_waits, read_ends, 0},
    {"recv", recv_waits, recv_ends, 0},
    {"accept", accept_waits, accept_ends, 0},
    {"sem_wait", sem_wait_waits, sem_wait_ends, 0},
    {"semop", semop_waits, semop_ends, 0},
    {"msgrcv", msgrcv_waits, msgrcv_ends, 0},
};
enum { kKinds = sizeof kinds / sizeof *kinds, kThreads = kKinds + kHoppers };
static struct Thread threads[kThreads];
static struct Numbers numbers[kKinds][kLengths];

// A burner for so little: it looks at the clock all the time.
NOT_INLINED static void works_briefly(void) {
  for (const uint64_t start = thread_cpu_ns(); thread_cpu_ns() - start < kWorkNs;) NOT_A_TAIL_CALL();
}

static void wake(int *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

NOT_INLINED static void *ends_waits(void *argument) {
  struct Thread *t = argument;
  for (int done = 0;; ++done) {
    while (__atomic_load_n(&t->asked, __ATOMIC_ACQUIRE) == done)
      syscall(SYS_futex, &t->asked, FUTEX_WAIT_PRIVATE, done, NULL, NULL, 0);
    if (!t->ends) return NULL;
    // In full, whatever happens: how long it is must not depend on who sees it.
    const struct timespec until = from_now(CLOCK_MONOTONIC, t->ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
      __atomic_fetch_add(&partners_interrupted, 1, __ATOMIC_RELAXED);
    t->ends->end(t);
  }
}

static void ask(struct Thread *t, const struct Kind *ends) {
  t->ends = ends;
  __atomic_fetch_add(&t->asked, 1, __ATOMIC_RELEASE);
  wake(&t->asked);
}

NOT_INLINED static void waits_once(struct Thread *t, const struct Kind *kind) {
  if (kind->wait == io_uring_enter_waits && t->ring < 0) return;
  struct Numbers *sum = &numbers[kind - kinds][t->ns == kLongNs];
  const uint64_t ns = t->ns < kind->least_ns ? kind->least_ns : t->ns;
  works_briefly();
  // Of the realtime clock, by which the deadline is.
  const clockid_t clock = kind->wait == sem_timedwait_waits ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  const uint64_t start = clock_ns(clock);
  if (kind->end) ask(t, kind);
  const int result = kind->wait(t, ns), error = errno;
  const uint64_t end = clock_ns(clock);
  if (result != 0 && error == EINTR) __atomic_fetch_add(&sum->interrupted, 1, __ATOMIC_RELAXED);
  if (result != 0 && error != EINTR) {
    __atomic_fetch_add(&sum->failed, 1, __ATOMIC_RELAXED);
    sum->failed_errno = error;
  }
  // What was to end the wait is taken all the same: the next wait must have its own.
  if (kind->end && result != 0)
    while (kind->wait(t, ns) != 0) continue;
  const int index = __atomic_fetch_add(&sum->waits, 1, __ATOMIC_RELAXED);
  if (index < kMost) sum->over[index] = (int64_t)(end - start) - (int64_t)ns;
}

NOT_INLINED static void *waits(void *argument) {
  struct Thread *t = argument;
  char name[16];
  snprintf(name, sizeof name, "%s", t->only ? t->only->name : "all");
  pthread_setname_np(pthread_self(), name);
  for (int round = 0; !__atomic_load_n(&stops, __ATOMIC_RELAXED); ++round) {
    if (t->only) {
      waits_once(t, t->only);
    } else {
      for (const struct Kind *kind = kinds; kind < kinds + kKinds; ++kind)
        if (kind->least_ns == 0 || round % 8 == 0) waits_once(t, kind);
    }
  }
  ask(t, NULL);
  return NULL;
}

static int set_up(struct Thread *t) {
  struct epoll_event event = {.events = EPOLLIN};
  struct io_uring_params parameters = {0};
  if (pipe(t->pipe) != 0 || pipe(t->empty) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, t->pair) != 0 ||
      socketpair(AF_UNIX, SOCK_STREAM, 0, t->timed_pair) != 0)
    return 0;
  t->address.sun_family = AF_UNIX;  // no path: the kernel finds a name
  t->listener = socket(AF_UNIX, SOCK_STREAM, 0);
  t->address_length = sizeof t->address;
  if (bind(t->listener, (struct sockaddr *)&t->address, sizeof(sa_family_t)) != 0 || listen(t->listener, 1) != 0 ||
      getsockname(t->listener, (struct sockaddr *)&t->address, &t->address_length) != 0)
    return 0;
  t->epoll = epoll_create1(0);
  t->semaphores = semget(IPC_PRIVATE, 2, 0600);
  t->messages = msgget(IPC_PRIVATE, 0600);
  t->ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
  if (t->ring >= 0 && !(parameters.features & IORING_FEAT_EXT_ARG)) t->ring = -1;
  sem_init(&t->posted, 0, 0);
  sem_init(&t->never, 0, 0);
  return epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->empty[0], &event) == 0 && t->semaphores >= 0 && t->messages >= 0;
}

static void tear_down(struct Thread *t) {
  semctl(t->semaphores, 0, IPC_RMID);
  msgctl(t->messages, IPC_RMID, NULL);
}

static void on_signal(int number) { (void)number; }

static int in_order(const void *one, const void *other) {
  const int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

static void print(const struct Kind *kind, enum Length length) {
  struct Numbers *n = &numbers[kind - kinds][length];
  const int kept = n->waits < kMost ? n->waits : kMost;
  const uint64_t asked = length == kLong ? kLongNs : kind->least_ns > kShortNs ? kind->least_ns : kShortNs;
  qsort(n->over, (size_t)kept, sizeof *n->over, in_order);
  printf("\"%s\": {\"asked\": %llu, \"waits\": %d, \"interrupted\": %d, \"failed\": %d, \"errno\": %d",
         length == kLong ? "long" : "short", (unsigned long long)asked, n->waits, n->interrupted, n->failed,
         n->failed_errno);
  if (kept)
    printf(", \"least\": %lld, \"median\": %lld, \"p90\": %lld, \"most\": %lld", (long long)n->over[0],
           (long long)n->over[kept / 2], (long long)n->over[kept * 9 / 10], (long long)n->over[kept - 1]);
  printf("}");
}

int main(int argc, char **argv) {
  const double lasts = argument(argc, argv, 1, 5);
  const int sends = argument(argc, argv, 2, 0) != 0;
  int faults = 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMAX);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  // Where it may: then the kernel tidies up, however this ends.
  if (unshare(CLONE_NEWIPC) != 0) errno = 0;
  if (sends) sigaction(SIGRTMAX - 1, &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_RESTART}, NULL);
  for (int i = 0; i < kKinds; ++i)
    for (int length = 0; length < kLengths; ++length)
      if (!(numbers[i][length].over = malloc(kMost * sizeof(int64_t)))) return 3;
  for (int i = 0; i < kThreads; ++i) faults += !set_up(&threads[i]);
  for (int i = 0; i < kThreads && !faults; ++i) {
    threads[i].only = i < kKinds ? &kinds[i] : NULL;
    threads[i].ns = i < kKinds ? kLongNs : kShortNs;
    faults += pthread_create(&threads[i].partner, NULL, ends_waits, &threads[i]) != 0;
    faults += pthread_create(&threads[i].thread, NULL, waits, &threads[i]) != 0;
  }
  sigdelset(&set, SIGRTMAX);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  puts("ready");
  fflush(stdout);
  for (uint64_t start = wall_ns(), now = start; !faults && now - start < seconds(lasts); now = wall_ns()) {
    const struct timespec rest = after(milliseconds(50));
    nanosleep(&rest, NULL);
    for (int i = 0; i < kThreads && sends; ++i) pthread_kill(threads[i].thread, SIGRTMAX - 1);
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < kThreads && !faults; ++i) {
    pthread_join(threads[i].thread, NULL);
    pthread_join(threads[i].partner, NULL);
  }
  for (int i = 0; i < kThreads; ++i) tear_down(&threads[i]);
  if (faults) return 3;
  puts("measured");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) < 0 && errno == EINTR) continue;

  printf("{\"threads\": %d, \"ring\": %d, \"partners_interrupted\": %d, \"calls\": {", 2 * kThreads + 1,
         threads[0].ring >= 0, partners_interrupted);
  for (const struct Kind *kind = kinds; kind < kinds + kKinds; ++kind) {
    printf("%s\"%s\": {", kind == kinds ? "" : ", ", kind->name);
    print(kind, kShort);
    printf(", ");
    print(kind, kLong);
    printf("}");
  }
  puts("}}");
  return 0;
}
