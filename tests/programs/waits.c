// Blocking calls next to a thread that burns CPU: none of them may be interrupted.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "burn.h"

static volatile int g_stop;
static void* burner(void* unused) {
  while (!g_stop) BURN(0.01);
  return unused;
}

int main(void) {
  pthread_t thread;
  int interrupted = 0;
  int pipe_fds[2];
  pthread_create(&thread, NULL, burner, NULL);
  if (pipe(pipe_fds) != 0) return 1;
  const int epoll = epoll_create1(0);
  for (int i = 0; i < 5; ++i) {
    const struct timespec nap = {0, 100000000};
    struct epoll_event event;
    if (nanosleep(&nap, NULL) != 0) ++interrupted;
    if (poll(NULL, 0, 100) != 0) ++interrupted;
    if (epoll_wait(epoll, &event, 1, 100) != 0) ++interrupted;
  }
  g_stop = 1;
  pthread_join(thread, NULL);
  printf("interrupted %d\n", interrupted);
  return 0;
}
