// Shows known work for as long as it is wanted, to who looks at it meanwhile: by commands on stdin, one a line, each answered by a
// line of JSON. Arguments: what it does, in letters.
//   b  a thread "burner" that spends three quarters of its CPU time in alpha(), the rest in beta()
//   r  a thread "random" the same, in gamma_(): for two that burn at once
//   a  a thread "allocator": allocates_kept() keeps a page a millisecond, 100 at most; allocates_brief() gives back at once
//   l  threads "holder" and "waiter", who pass a mutex on: hold_lock() has it while wait_for_lock() waits
//   t  a thread is created and joined a hundred times a second, by creates_threads()
// Commands: state, fork (a child that does nothing but wait for its parent's end), exec (itself, with the same work), exit (with
// its CPU time), leave (the main thread ends), title (its environment is written over, its folder changed), quit (without exit handlers); the end of stdin is quit.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(alpha, 6364136223846793005u)
BURNER(beta, 2862933555777941757u)
BURNER(gamma_, 3202034522624059733u)

static volatile int interrupted;
static volatile unsigned long long alpha_ns, beta_ns, gamma_ns, kept, brief, locked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void rest(uint64_t ns) {
  struct timespec time = {0, (long)ns};
  if (nanosleep(&time, NULL) != 0) interrupted = 1;
}

static void *burn(void *unused) {
  prctl(PR_SET_NAME, "burner");
  // 15 and 5 ms on average: of always the same length they would keep step with the ticks.
  for (uint64_t random = 1;;) {
    alpha_ns += alpha(milliseconds(10000 + next_number(&random) % 10000) / 1000);
    beta_ns += beta(milliseconds(3000 + next_number(&random) % 4000) / 1000);
  }
  return unused;
}

static void *burn_too(void *unused) {
  prctl(PR_SET_NAME, "random");
  for (;;) gamma_ns += gamma_(milliseconds(20));
  return unused;
}

NOT_INLINED void *allocates_kept(size_t size) {
  void *block = malloc(size);
  NOT_A_TAIL_CALL();
  return block;
}

NOT_INLINED void *allocates_brief(size_t size) {
  void *block = malloc(size);
  NOT_A_TAIL_CALL();
  return block;
}

static void *allocate(void *unused) {
  static void *blocks[100];
  prctl(PR_SET_NAME, "allocator");
  for (unsigned i = 0;; ++i) {
    if (i < 100) {
      blocks[i] = allocates_kept(4096);
      if (!blocks[i]) abort();
      ++kept;
    }
    free(allocates_brief(1000));
    ++brief;
    rest(1000000);
  }
  return unused;
}

NOT_INLINED void hold_lock(void) {
  pthread_mutex_lock(&lock);
  rest(3000000);
  pthread_mutex_unlock(&lock);
  NOT_A_TAIL_CALL();
}

NOT_INLINED void wait_for_lock(void) {
  pthread_mutex_lock(&lock);
  ++locked;
  pthread_mutex_unlock(&lock);
  NOT_A_TAIL_CALL();
}

static void *hold(void *unused) {
  prctl(PR_SET_NAME, "holder");
  for (;;) {
    hold_lock();
    rest(1000000);
  }
  return unused;
}

static void *wait_long(void *unused) {
  prctl(PR_SET_NAME, "waiter");
  for (;;) {
    wait_for_lock();
    rest(500000);
  }
  return unused;
}

static void *nothing(void *unused) { return unused; }

NOT_INLINED void creates_threads(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) != 0) abort();
  pthread_join(thread, NULL);
  NOT_A_TAIL_CALL();
}

static void *create(void *unused) {
  prctl(PR_SET_NAME, "creator");
  for (;;) {
    creates_threads();
    rest(10000000);
  }
  return unused;
}

static int entries(const char *folder) {
  DIR *directory = opendir(folder);
  int count = -3;  // "." and "..", and the folder's own
  for (; directory && readdir(directory);) ++count;
  if (directory) closedir(directory);
  return count;
}

static void write_over_environment(void) {
  for (char **entry = environ; *entry; ++entry) memset(*entry, 'x', strlen(*entry));
  if (chdir("/") != 0) _exit(1);
}

// Ended by its parent's end: that closes the only writer of this pipe.
static void wait_in_child(int ends[2]) {
  char byte;
  close(ends[1]);
  if (read(ends[0], &byte, 1) < 0) _exit(1);
  _exit(0);
}

int main(int argc, char **argv) {
  char line[64];
  int ends[2];
  pthread_t thread;
  static const struct {
    char letter;
    void *(*routine)(void *);
  } all[] = {{'b', burn}, {'r', burn_too}, {'a', allocate}, {'l', hold}, {'l', wait_long}, {'t', create}};
  for (unsigned i = 0; i < sizeof all / sizeof *all; ++i)
    if (argc > 1 && strchr(argv[1], all[i].letter)) pthread_create(&thread, NULL, all[i].routine, NULL);
  if (pipe(ends) != 0) return 1;
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("{\"pid\": %d}\n", getpid());
  while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0) {
    int child = 0;
    if (strcmp(line, "fork\n") == 0 && (child = fork()) == 0) wait_in_child(ends);
    if (strcmp(line, "exit\n") == 0) {
      printf("{\"total\": %llu}\n", (unsigned long long)process_cpu_ns());
      exit(0);
    }
    if (strcmp(line, "leave\n") == 0) pthread_exit(NULL);
    if (strcmp(line, "title\n") == 0) write_over_environment();
    if (strcmp(line, "exec\n") == 0) execv("/proc/self/exe", argv);
    printf(
        "{\"pid\": %d, \"child\": %d, \"descriptors\": %d, \"interrupted\": %d, \"alpha\": %llu, \"beta\": %llu, "
        "\"gamma_\": %llu, \"kept\": %llu, \"brief\": %llu, \"locked\": %llu, \"children\": %d}\n",
        getpid(), child, entries("/proc/self/fd"), interrupted, alpha_ns, beta_ns, gamma_ns, kept, brief, locked,
        waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD);
  }
  // Its children end by its end.
  _Exit(0);
}
