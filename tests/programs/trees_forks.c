// Forks, where it is hard, and checks that nobody was harmed. Argument: WHAT [COUNT [MEGABYTES [huge]]].
//   handler   a signal handler forks, also while the program does; signal masks are what they were
//   threads   forks while threads allocate, lock and make threads; the children allocate too
//   bomb      forks until the limit of processes is met, again and again
//   bare      children by the bare clone system call: they allocate, compute, and end by exit()
//   bare_vm   the same, but they share the memory
//   same_pid  a child that is number 1 in a namespace of its own, as its parent is
//   short     COUNT children that execute this program and end, by fork, vfork and posix_spawn in turn, eight at a time
//   loop      COUNT forks with MEGABYTES touched; prints how long they took on stderr
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(child_work, 6364136223846793005u)
BURNER(parent_work, 2862933555777941757u)

static int count = 100;
static sigset_t mask_at_start;
static volatile sig_atomic_t forked_in_handler, bad;

static int mask_is_as(const sigset_t *wanted) {
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  for (int number = 1; number < 65; ++number)
    if (sigismember(&now, number) != sigismember(wanted, number)) return 0;
  return 1;
}

NOT_INLINED void *trees_allocate(size_t bytes) {
  void *block = malloc(bytes);
  NOT_A_TAIL_CALL();
  return block;
}

static void allocate_some(int times) {
  for (int i = 0; i < times; ++i) free(trees_allocate((size_t)(100 + i % 1000)));
}

static void await(pid_t child) {
  int status = -1;
  pid_t ended;
  while ((ended = waitpid(child, &status, __WALL)) < 0 && errno == EINTR) {
  }
  if (ended != child || status != 0) bad = 1;
}

static const struct itimerval soon = {{0, 0}, {0, 700}}, never = {{0, 0}, {0, 0}};

static void fork_in_handler(int number) {
  int error = errno;
  sigset_t within;
  sigprocmask(SIG_BLOCK, NULL, &within);
  if (!sigismember(&within, number)) bad = 1;
  pid_t child = fork();
  if (child == 0) _exit(mask_is_as(&within) ? 0 : 1);
  if (child > 0) await(child);
  if (!mask_is_as(&within)) bad = 1;
  ++forked_in_handler;
  // Not at a fixed pace: where forks are slow, the program is to come to something as well.
  setitimer(ITIMER_REAL, &soon, NULL);
  errno = error;
}

static int forks_in_handlers(void) {
  struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &soon, NULL);
  for (int i = 0; i < count || forked_in_handler < count / 4; ++i) {
    allocate_some(100);
    pid_t child = fork();
    if (child == 0) {
      setitimer(ITIMER_REAL, &never, NULL);
      allocate_some(100);
      _exit(mask_is_as(&mask_at_start) ? 0 : 1);
    }
    if (child > 0) await(child);
    if (!mask_is_as(&mask_at_start)) bad = 1;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  return bad;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int is_over;

static void *short_thread(void *unused) { return unused; }

static void *busy_thread(void *seed) {
  uint64_t state = (uint64_t)(uintptr_t)seed;
  while (!is_over) {
    void *block = malloc(next_number(&state) % 100000);
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    free(block);
    pthread_t thread;
    if (next_number(&state) % 50 == 0 && pthread_create(&thread, NULL, short_thread, NULL) == 0)
      pthread_join(thread, NULL);
  }
  return NULL;
}

static int forks_beside_threads(void) {
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, busy_thread, (void *)(i + 1));
  for (int i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) {
      allocate_some(1000);
      pthread_t thread;
      if (pthread_create(&thread, NULL, short_thread, NULL) != 0 || pthread_join(thread, NULL) != 0) _exit(2);
      exit(0);
    }
    if (child > 0) await(child);
  }
  is_over = 1;
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return bad;
}

static int forks_up_to_the_limit(void) {
  enum { kMost = 20 };
  struct rlimit few = {kMost, kMost};
  // The limit is not root's, and counts all processes of a user: one that has no others.
  if (geteuid() == 0 && (setgid(64321) != 0 || setuid(64321) != 0)) return 2;
  if (setrlimit(RLIMIT_NPROC, &few) != 0) return 2;
  int refused = 0;
  for (int round = 0; round < count / 10; ++round) {
    pid_t children[2 * kMost];
    int made = 0;
    while (made < 2 * kMost && (children[made] = fork()) > 0) ++made;
    if (children[made] == 0) {
      pause();
      _exit(0);
    }
    if (made < 2 * kMost && errno == EAGAIN) ++refused;
    if (!mask_is_as(&mask_at_start)) bad = 1;
    for (int i = 0; i < made; ++i) {
      kill(children[i], SIGKILL);
      waitpid(children[i], NULL, 0);
    }
  }
  if (refused != count / 10) printf("refused %d times\n", refused);
  return bad;
}

static int bare_child(void *shares_memory) {
  allocate_some(1000);
  child_work(milliseconds(5));
  if (shares_memory) _exit(0);
  pthread_mutex_lock(&lock);
  pthread_mutex_unlock(&lock);
  exit(0);
}

static int makes_bare_children(int shares_memory) {
  static char stack[1 << 16] __attribute__((aligned(16)));
  for (int i = 0; i < count; ++i) {
    allocate_some(10);
    pid_t child;
    if (shares_memory) {
      child = clone(bare_child, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, stack);
    } else {
      child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
      if (child == 0) bare_child(NULL);
    }
    if (child < 0) return 2;
    await(child);
  }
  parent_work(milliseconds(100));
  return bad;
}

static int has_a_child_of_its_number(void) {
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    if (getpid() != 1) _exit(3);
    bare_child(NULL);
  }
  if (child < 0) return 2;
  await(child);
  parent_work(milliseconds(100));
  return bad;
}

static int ends_in_order(int in_flight) {
  int status = -1;
  pid_t ended;
  while ((ended = waitpid(-1, &status, 0)) < 0 && errno == EINTR) {
  }
  if (ended > 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 3)) {
    printf("a child ended with %x\n", (unsigned)status);
    bad = 1;
  }
  return in_flight - 1;
}

extern char **environ;

static int executes_many(char *self) {
  char *words[] = {self, (char *)"nothing", NULL};
  volatile int in_flight = 0;  // vfork
  for (volatile int i = 0; i < count; ++i) {
    if (in_flight == 8) in_flight = ends_in_order(in_flight);
    pid_t child;
    if (i % 3 == 0) {
      if ((child = fork()) == 0) {
        execv("/proc/self/exe", words);
        _exit(127);
      }
    } else if (i % 3 == 1) {
      if ((child = vfork()) == 0) {
        execv("/proc/self/exe", words);
        _exit(127);
      }
    } else if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, words, environ) != 0) {
      return 4;
    }
    if (child < 0) return 5;
    ++in_flight;
  }
  while (in_flight > 0) in_flight = ends_in_order(in_flight);
  return bad;
}

static int forks_in_a_loop(size_t megabytes, int huge) {
  size_t bytes = megabytes << 20;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  madvise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  uint64_t start = wall_ns();
  for (int i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) _exit(memory[(size_t)i * 4096 % bytes] == 1 ? 0 : 1);
    if (child < 0) return 3;
    await(child);
  }
  fprintf(stderr, "%d forks, %zu MB: %.3f ms each\n", count, megabytes, (double)(wall_ns() - start) / 1e6 / count);
  munmap(memory, bytes);
  return bad;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "nothing") == 0) {
    allocate_some(10);
    return 3;
  }
  count = (int)argument(argc, argv, 2, 100);
  sigprocmask(SIG_BLOCK, NULL, &mask_at_start);
  int result = strcmp(what, "handler") == 0    ? forks_in_handlers()
               : strcmp(what, "threads") == 0  ? forks_beside_threads()
               : strcmp(what, "bomb") == 0     ? forks_up_to_the_limit()
               : strcmp(what, "bare") == 0     ? makes_bare_children(0)
               : strcmp(what, "bare_vm") == 0  ? makes_bare_children(1)
               : strcmp(what, "same_pid") == 0 ? has_a_child_of_its_number()
               : strcmp(what, "short") == 0    ? executes_many(argv[0])
               : strcmp(what, "loop") == 0
                   ? forks_in_a_loop((size_t)argument(argc, argv, 3, 256), argc > 4 && strcmp(argv[4], "huge") == 0)
                   : 9;
  printf("%s: %d\n", what, result);
  return result;
}
