// Handlers of the program's own, of all kinds, amid ticks: the first argument says which. Prints what it found.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "victim.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

BURNER(plain_work, 6364136223846793005u)
BURNER(handlers_work, 2862933555777941757u)

static volatile sig_atomic_t handled, inside, deepest, off_stack;
static sigjmp_buf back;
static char *stack;
static size_t stack_bytes;
static volatile uintptr_t null;

static int is_on_stack(void) {
  char here;
  return &here >= stack && &here < stack + stack_bytes;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
  sigaction(number, &action, NULL);
}

static void jumps(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  handlers_work(milliseconds(1));
  handled = handled + 1;
  siglongjmp(back, 1);
}

static void faults_and_jumps(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  handled = handled + 1;
  siglongjmp(back, 1);
}

static void nests(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  handled = handled + 1;
  inside = inside + 1;
  if (inside > deepest) deepest = inside;
  if (inside < 4) raise(number == SIGUSR1 ? SIGALRM : SIGUSR1);
  handlers_work(milliseconds(1));
  inside = inside - 1;
}

static void allocates(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  // Not allowed by POSIX, and done: main allocates nothing meanwhile.
  char *blocks[64];
  for (int i = 0; i < 64; ++i) memset(blocks[i] = malloc(20000), i, 20000);
  for (int i = 0; i < 64; ++i) free(blocks[i]);
  handled = handled + 1;
}

static void counts(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  handled = handled + 1;
  if (stack != NULL && !is_on_stack()) off_stack = off_stack + 1;
}

static void use_stack(size_t bytes, int flags) {
  stack = mmap(NULL, bytes + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(stack, 4096, PROT_NONE);
  stack += 4096;
  stack_bytes = bytes;
  const stack_t given = {.ss_sp = stack, .ss_size = bytes, .ss_flags = flags};
  if (sigaltstack(&given, NULL) != 0) printf("sigaltstack: %s\n", strerrorname_np(errno));
}

static ucontext_t main_context, contexts[4];
static char coroutine_stacks[4][16384];
static int turns;

static void coroutine(int index) {
  for (int i = 0; i < 20; ++i) {
    plain_work(milliseconds(1));
    ++turns;
    swapcontext(&contexts[index], index == 3 ? &main_context : &contexts[index + 1]);
  }
}

static void *sends(void *thread) {
  for (int i = 0; i < 20000; ++i) pthread_kill(*(pthread_t *)thread, SIGUSR1);
  return NULL;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  if (strcmp(how, "jump") == 0) {
    handle(SIGALRM, jumps, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL);
    while (handled < 50) {
      if (sigsetjmp(back, 1) != 0) continue;
      for (;;) plain_work(milliseconds(50));
    }
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    handle(SIGSEGV, faults_and_jumps, SA_NODEFER);
    for (volatile int i = 0; i < 2000; ++i)
      if (sigsetjmp(back, 1) == 0) *(volatile char *)null = 0;
    printf("jumped %d\n", handled >= 2050);
  }
  if (strcmp(how, "once") == 0) {
    struct sigaction now;
    for (int i = 0; i < 20; ++i) {
      handle(SIGUSR1, counts, (int)SA_RESETHAND);
      plain_work(milliseconds(2));
      raise(SIGUSR1);
      sigaction(SIGUSR1, NULL, &now);
      if (now.sa_handler != SIG_DFL) puts("not reset");
    }
    printf("handled %d, and is ended by the next\n", (int)handled);
    fflush(stdout);
    raise(SIGUSR1);
  }
  if (strcmp(how, "sigprof_once") == 0) {
    struct sigaction now;
    handle(SIGPROF, counts, (int)SA_RESETHAND);
    plain_work(milliseconds(60));
    sigaction(SIGPROF, NULL, &now);
    printf("mine %d", now.sa_sigaction == counts);
    raise(SIGPROF);
    sigaction(SIGPROF, NULL, &now);
    printf(", reset %d, handled %d, and is ended by the next\n", now.sa_handler == SIG_DFL, (int)handled);
    fflush(stdout);
    raise(SIGPROF);
  }
  if (strcmp(how, "nest") == 0) {
    handle(SIGUSR1, nests, SA_NODEFER);
    handle(SIGALRM, nests, SA_NODEFER);
    for (int i = 0; i < 20; ++i) raise(SIGUSR1);
    printf("handled %d, deepest %d\n", (int)handled, (int)deepest);
  }
  if (strcmp(how, "allocate") == 0) {
    handle(SIGALRM, allocates, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL);
    plain_work(milliseconds(150));
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    printf("handled some %d\n", handled > 5);
  }
  if (strcmp(how, "storm") == 0) {
    pthread_t self = pthread_self(), senders[2];
    handle(SIGUSR1, counts, SA_RESTART);
    for (int i = 0; i < 2; ++i) pthread_create(&senders[i], NULL, sends, &self);
    plain_work(milliseconds(150));
    for (int i = 0; i < 2; ++i) pthread_join(senders[i], NULL);
    printf("handled some %d\n", handled > 5);
  }
  if (strcmp(how, "queue") == 0) {
    // So many signals and timers of the user's in all, whatever the user has besides: those of one's own are none of libprof's.
    const int none = argc > 2 && strcmp(argv[2], "none") == 0;
    struct rlimit limit = {0, 0};
    int sent = 0;
    sigset_t set;
    if (none) setrlimit(RLIMIT_SIGPENDING, &limit);
    handle(SIGRTMIN + 2, counts, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    plain_work(milliseconds(50));
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 100; ++i) sent += sigqueue(getpid(), SIGRTMIN + 2, (union sigval){i}) == 0;
    plain_work(milliseconds(50));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("sent %d, handled %d\n", sent, (int)handled);
  }
  if (strcmp(how, "stack") == 0) {
    use_stack((size_t)atoi(argv[2]), 0);
    plain_work(milliseconds(100));
    if (argc > 3) {
      handle(SIGUSR1, counts, SA_ONSTACK);
      for (int i = 0; i < 20; ++i) raise(SIGUSR1);
    }
    printf("handled %d, off the stack %d\n", (int)handled, (int)off_stack);
  }
  if (strcmp(how, "stacks_change") == 0) {
    handle(SIGUSR1, counts, SA_ONSTACK);
    for (int i = 0; i < 40; ++i) {
      char *last = stack;
      const size_t last_bytes = stack_bytes;
      use_stack(i % 2 ? 8192 : 65536, i % 3 == 2 ? (int)SS_AUTODISARM : 0);
      if (last != NULL) munmap(last - 4096, last_bytes + 8192);
      plain_work(milliseconds(2));
      raise(SIGUSR1);
      stack_t now;
      sigaltstack(NULL, &now);
      if (now.ss_sp != stack || now.ss_size != stack_bytes) puts("another stack");
      if (i % 5 == 4) {
        const stack_t none = {.ss_flags = SS_DISABLE};
        sigaltstack(&none, NULL);
        plain_work(milliseconds(2));
      }
    }
    printf("handled %d, off the stack %d\n", (int)handled, (int)off_stack);
  }
  if (strcmp(how, "contexts") == 0) {
    for (int i = 0; i < 4; ++i) {
      getcontext(&contexts[i]);
      contexts[i].uc_stack.ss_sp = coroutine_stacks[i];
      contexts[i].uc_stack.ss_size = sizeof coroutine_stacks[i];
      contexts[i].uc_link = &main_context;
      makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
    }
    while (turns < 80) swapcontext(&main_context, &contexts[0]);
    printf("turns %d\n", turns);
  }
  return 0;
}
