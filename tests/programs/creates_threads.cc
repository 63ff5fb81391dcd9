// Shows threads that are created by functions known by name, and what their creation returns. Arguments: WHAT, number.
//
// "sites": one after the other, 30 % by creates_seldom() and 70 % by creates_often(). "alive": by creates_crowd(), all
// of which live at once. "small": by creates_small(), with the smallest stack there may be. "fails": by creates_none(),
// which has no memory for a stack, and by creates_none_either(), which may have no more threads; then one by
// creates_seldom(). "languages": by creates_std() and by creates_c11().
// build: -O2 -fomit-frame-pointer -pthread
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "victim.h"

static std::atomic<long> lived;
static std::atomic<uint32_t> open_gate;

static void *lives(void *argument) {
  ++lived;
  return argument;
}

static int lives_in_c11(void *) { return (int)(++lived * 0); }

static void *lives_until_the_gate_opens(void *argument) {
  ++lived;
  while (!open_gate) syscall(SYS_futex, &open_gate, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  return argument;
}

// Each has a result of its own, or they would be folded.
#define CREATES(name, body, factor)                                                  \
  PLAIN_NAME NOT_INLINED int name(pthread_t *id, const pthread_attr_t *attributes) { \
    const int error = pthread_create(id, attributes, body, &lived);                  \
    return error * (factor);                                                         \
  }

CREATES(creates_seldom, lives, 2)
CREATES(creates_often, lives, 3)
CREATES(creates_small, lives, 5)
CREATES(creates_crowd, lives_until_the_gate_opens, 7)
CREATES(creates_none, lives, 1)
CREATES(creates_none_either, lives, -1)

PLAIN_NAME NOT_INLINED void creates_std() {
  std::thread thread([] { ++lived; });
  thread.join();
}

PLAIN_NAME NOT_INLINED void creates_c11() {
  thrd_t thread;
  int result = -1;
  if (thrd_create(&thread, lives_in_c11, nullptr) != thrd_success) abort();
  if (thrd_join(thread, &result) != thrd_success || result != 0) abort();
}

static void join(pthread_t id) {
  void *result = nullptr;
  if (pthread_join(id, &result) != 0 || !result) abort();
}

static void sites(long number) {
  for (long i = 0; i < number; ++i) {
    pthread_t id;
    if ((i % 10 < 3 ? creates_seldom(&id, nullptr) : creates_often(&id, nullptr)) != 0) abort();
    join(id);
  }
}

static void alive(long number) {
  std::vector<pthread_t> ids((size_t)number);
  for (pthread_t &id : ids)
    if (creates_crowd(&id, nullptr) != 0) abort();
  while (lived < number) usleep(1000);
  open_gate = 1;
  syscall(SYS_futex, &open_gate, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  for (pthread_t id : ids) join(id);
}

static size_t small(long number) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  size_t size = 1024;
  while (pthread_attr_setstacksize(&attributes, size) != 0) size += 1024;
  for (long i = 0; i < number; ++i) {
    pthread_t id;
    const int error = creates_small(&id, &attributes);
    if (error != 0) {
      fprintf(stderr, "stack of %zu: %s\n", size, strerror(error / 5));
      exit(4);
    }
    join(id);
  }
  return size;
}

// Error, errno after it, and whether the id is untouched; of the failures that were like the first, how many.
struct Failures {
  int error, number_after;
  long alike;
};

static Failures fail(long number, int (*creates)(pthread_t *, const pthread_attr_t *), const pthread_attr_t *attributes,
                     int sign) {
  Failures found = {};
  for (long i = 0; i < number; ++i) {
    pthread_t id = (pthread_t)4711;
    errno = EDOM;
    const int error = creates(&id, attributes) * sign;
    if (i == 0) found = {error, errno, 0};
    found.alike += error == found.error && errno == found.number_after;
    if (error == 0) join(id);
  }
  return found;
}

static Failures no_memory(long number) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, (size_t)1 << 47) != 0) abort();
  return fail(number, creates_none, &attributes, 1);
}

// The limit binds a user, but not root: in a thread that is nobody's, by the system call that is for one thread only.
static Failures no_more_threads(long number) {
  struct Job {
    long number;
    Failures found;
  } job = {number, {}};
  rlimit before = {};
  getrlimit(RLIMIT_NPROC, &before);
  const auto body = [](void *argument) -> void * {
    Job *mine = (Job *)argument;
    syscall(SYS_setresuid, 65534, 65534, 65534);
    rlimit limit = {};
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_NPROC, &limit);
    mine->found = fail(mine->number, creates_none_either, nullptr, -1);
    return argument;
  };
  pthread_t id;
  if (pthread_create(&id, nullptr, body, &job) != 0) abort();
  join(id);
  setrlimit(RLIMIT_NPROC, &before);
  return job.found;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "sites";
  const long number = (long)argument(argc, argv, 2, 1000);
  size_t size = 0;
  Failures memory = {}, threads = {};
  if (!strcmp(what, "sites")) sites(number);
  if (!strcmp(what, "alive")) alive(number);
  if (!strcmp(what, "small")) size = small(number);
  if (!strcmp(what, "fails")) {
    memory = no_memory(number);
    threads = no_more_threads(number);
    pthread_t id;
    if (creates_seldom(&id, nullptr) != 0) abort();
    join(id);
  }
  if (!strcmp(what, "languages"))
    for (long i = 0; i < number; ++i) {
      creates_std();
      if (i % 2) creates_c11();
    }
  printf("{\"lived\": %ld, \"stack\": %zu, \"memory\": [%d, %d, %ld], \"threads\": [%d, %d, %ld]}\n", (long)lived, size,
         memory.error, memory.number_after, memory.alike, threads.error, threads.number_after, threads.alike);
}
