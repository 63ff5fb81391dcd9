// Works until it is killed, and keeps its books in a file that outlives it: counts_work FILE [cpu] [heap] [waits] [forks] [grows]
//
//   books  0 CPU ns in burn_booked    1 blocks allocated  2 blocks freed  (of 1000 bytes, in allocate_booked)
//          3 waits that ended  4 ns of them  (in wait_booked)             5 children made
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

static volatile _Atomic uint64_t *books;

NOT_INLINED static void burn_booked(void) {
  const uint64_t began = thread_cpu_ns();  // before it were the start of the process, and libprof's
  uint64_t x = 1;
  for (;;) {
    for (int i = 0; i < 2000; ++i) {
      x = x * 6364136223846793005u + 12345;
      __asm__ volatile("" : "+r"(x));
    }
    books[0] = thread_cpu_ns() - began;
  }
}

NOT_INLINED static void *allocate_booked(void) {
  void *block = malloc(1000);
  __asm__ volatile("" : "+r"(block));
  return block;
}

static void *keep_heap(void *unused) {
  enum { kMost = 4000 };
  static void *blocks[kMost];
  uint64_t state = 7;
  for (int count = 0;; usleep(50)) {
    for (int i = 0; i < 20; ++i) {
      if (count < kMost && next_number(&state) % 3 != 0) {
        blocks[count++] = allocate_booked();
        ++books[1];
      } else if (count > 0) {
        free(blocks[--count]);
        ++books[2];
      }
    }
  }
  return unused;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int turn;

static void *hold(void *unused) {
  for (;;) {
    pthread_mutex_lock(&lock);
    turn = 1;
    while (lock.__data.__lock != 2) usleep(100);  // nobody waits yet
    usleep(1000);
    pthread_mutex_unlock(&lock);
    while (turn != 2) usleep(20);
  }
  return unused;
}

NOT_INLINED static void wait_booked(void) {
  const uint64_t begin = wall_ns();
  pthread_mutex_lock(&lock);
  books[4] += wall_ns() - begin;
  ++books[3];
  pthread_mutex_unlock(&lock);
}

static void *wait_in_turn(void *unused) {
  for (;;) {
    while (turn != 1) usleep(20);
    wait_booked();
    turn = 2;
  }
  return unused;
}

// New stacks all the time: what is recorded grows and grows.
NOT_INLINED static uint64_t grow_here(unsigned depth, uint64_t path) {
  void *block = malloc(16 + path % 4096);
  __asm__ volatile("" : "+r"(block));
  const uint64_t sum =
      depth == 0 ? 0 : (path & 1 ? grow_here(depth - 1, path >> 1) : grow_here(depth - 1, path >> 1) + 1);
  free(block);
  return sum;
}
static void *grow(void *unused) {
  for (uint64_t path = 0;; ++path) grow_here(24, path * 0x9e3779b97f4a7c15u);
  return unused;
}

static void *fork_children(void *unused) {
  for (;;) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    ++books[5];
    waitpid(child, NULL, 0);
  }
  return unused;
}

static void start(void *(*work)(void *)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, NULL) != 0) exit(3);
}

int main(int argc, char **argv) {
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return 2;
  books = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  int burns = 0;
  for (int i = 2; i < argc; ++i) {
    if (strcmp(argv[i], "cpu") == 0) burns = 1;
    if (strcmp(argv[i], "heap") == 0) start(keep_heap);
    if (strcmp(argv[i], "waits") == 0) start(hold), start(wait_in_turn);
    if (strcmp(argv[i], "grows") == 0) start(grow);
    if (strcmp(argv[i], "forks") == 0) start(fork_children);
  }
  books[7] = 1;
  if (burns) burn_booked();
  for (;;) pause();
}
