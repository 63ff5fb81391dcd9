// Shows calls that wait, while another thread burns CPU: none of them may be interrupted, and the kernel says (in
// voluntary context switches) that an idle thread was left to sleep.
// Arguments: milliseconds of each wait; how many rounds of waits of 50 us, begun at every moment of a period.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "victim.h"

BURNER(background_work, 6364136223846793005u)
BURNER(before_the_wait, 2862933555777941757u)

static int stop, interrupted, waits;
static int data_pipe[2];

static void *burn(void *unused) {
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    background_work(milliseconds(20));
    NOT_A_TAIL_CALL();
  }
  return unused;
}

static void *write_later(void *milliseconds_later) {
  usleep((unsigned)(intptr_t)milliseconds_later * 1000u);
  return write(data_pipe[1], "x", 1) == 1 ? NULL : milliseconds_later;
}

static void check(long result) {
  ++waits;
  if (result < 0 && errno == EINTR) ++interrupted;
}

int main(int argc, char **argv) {
  int ms = (int)argument(argc, argv, 1, 100);
  struct timespec time = {ms / 1000, ms % 1000 * 1000000l};
  struct timeval tv = {ms / 1000, ms % 1000 * 1000l};
  int empty[2];
  if (pipe(data_pipe) != 0 || pipe(empty) != 0) return 2;
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN}, got;
  epoll_ctl(epoll, EPOLL_CTL_ADD, empty[0], &event);
  sem_t never;
  sem_init(&never, 0, 0);
  pthread_t burner, writer;
  pthread_create(&burner, NULL, burn, NULL);

  struct rusage before, after;
  getrusage(RUSAGE_THREAD, &before);
  for (int round = 0; round < 3; ++round) {
    // CPU time first, so that a tick that is due comes as early in the wait as it can.
    before_the_wait(milliseconds(15));
    check(nanosleep(&time, NULL));
    struct pollfd one = {empty[0], POLLIN, 0};
    check(poll(&one, 1, ms));
    check(epoll_wait(epoll, &got, 1, ms));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(empty[0], &set);
    tv.tv_sec = ms / 1000, tv.tv_usec = ms % 1000 * 1000l;
    check(select(empty[0] + 1, &set, NULL, NULL, &tv));
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (end.tv_nsec + ms * 1000000l) / 1000000000l;
    end.tv_nsec = (end.tv_nsec + ms * 1000000l) % 1000000000l;
    check(sem_timedwait(&never, &end));
    char byte;
    pthread_create(&writer, NULL, write_later, (void *)(intptr_t)ms);
    check(read(data_pipe[0], &byte, 1));
    pthread_join(writer, NULL);
  }
  getrusage(RUSAGE_THREAD, &after);
  int brief_interrupted = 0;
  for (int i = (int)argument(argc, argv, 2, 0); i > 0; --i) {
    struct timespec brief = {0, 50000};
    before_the_wait(1);
    brief_interrupted += nanosleep(&brief, NULL) < 0 && errno == EINTR;
    brief.tv_nsec = 50000;
    brief_interrupted += ppoll(NULL, 0, &brief, NULL) < 0 && errno == EINTR;
    brief_interrupted += epoll_pwait2(epoll, &got, 1, &brief, NULL) < 0 && errno == EINTR;
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(burner, NULL);
  printf("{\"waits\": %d, \"interrupted\": %d, \"brief_interrupted\": %d, \"switches\": %ld}\n", waits, interrupted,
         brief_interrupted, after.ru_nvcsw - before.ru_nvcsw);
}
