// Waits for SIGPROF many times, which another process sends while threads work that were made with every signal blocked: none of them is to take
// it from the wait, and what comes is pending no more. Prints how often it came, and what else happened.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

enum { ROUNDS = 80, WORKERS = 3 };

BURNER(beside_work, 6364136223846793005u)

static int round_is_over;

static void *works_beside(void *nothing) {
  (void)nothing;
  while (!__atomic_load_n(&round_is_over, __ATOMIC_RELAXED)) beside_work(milliseconds(1) / 10);
  return NULL;
}

int main(void) {
  int ask[2];
  char byte = 0;
  sigset_t set, all;
  sigfillset(&all);
  sigemptyset(&set);
  sigaddset(&set, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  if (pipe(ask) != 0) return 3;
  const pid_t child = fork();
  if (child == 0) {
    close(ask[1]);
    while (read(ask[0], &byte, 1) == 1) {
      usleep(1500);
      kill(getppid(), SIGPROF);
    }
    _exit(0);
  }
  close(ask[0]);
  int came = 0, interrupted = 0, pending = 0;
  for (int i = 0; i < ROUNDS; ++i) {
    pthread_t workers[WORKERS];
    __atomic_store_n(&round_is_over, 0, __ATOMIC_RELAXED);
    for (int k = 0; k < WORKERS; ++k)
      if (pthread_create(&workers[k], NULL, works_beside, NULL) != 0) return 3;
    if (write(ask[1], &byte, 1) != 1) return 3;
    const struct timespec limit = {20, 0};
    int number;
    while ((number = sigtimedwait(&set, NULL, &limit)) < 0 && errno == EINTR) ++interrupted;
    came += number == SIGPROF;
    sigset_t left;
    sigpending(&left);
    pending += sigismember(&left, SIGPROF);
    __atomic_store_n(&round_is_over, 1, __ATOMIC_RELAXED);
    for (int k = 0; k < WORKERS; ++k) pthread_join(workers[k], NULL);
  }
  close(ask[1]);
  waitpid(child, NULL, 0);
  printf("came %d, interrupted %d, still pending %d\n", came, interrupted, pending);
  return 0;
}
