// A handler that needs nearly all of its alternate stack, which has room for one frame of the kernel's: signals_small_stack HOW. Prints what the
// program sees of its masks, and ends by a fault where anything else comes upon that stack.
// build: -Wl,-z,now
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

enum { kForHandler = 4800, kUsed = 3200, kPage = 4096 };

BURNER(plain_work, 6364136223846793005u)
BURNER(work_after, 2862933555777941757u)
BURNER(handlers_work, 3935559000370003845u)

static const char *how;
static volatile sig_atomic_t handled, spoiled, seen_blocked, own_handled, own_handled_inside;
static jmp_buf back;
extern char **environ;

static int blocks(const sigset_t *mask) { return sigismember(mask, SIGPROF) == 1; }

static int is(const char *one) { return strcmp(how, one) == 0; }

static NOT_INLINED void use_stack(uint64_t work_ns) {
  volatile unsigned char room[kUsed];
  for (unsigned i = 0; i < kUsed; ++i) room[i] = (unsigned char)(i * 7);
  handlers_work(work_ns);
  for (unsigned i = 0; i < kUsed; ++i) spoiled += room[i] != (unsigned char)(i * 7);
}

static void look(void) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  seen_blocked += blocks(&mask);
}

static void executes(void) {
  char *const arguments[] = {"signals_small_stack", "blocked?", NULL};
  execve("/proc/self/exe", arguments, environ);
}

static void spawns(void) {
  char *const arguments[] = {"signals_small_stack", "blocked?", NULL};
  pid_t child;
  int status;
  if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ) == 0) waitpid(child, &status, 0);
}

static void on_signal(int number) {
  (void)number;
  handled = handled + 1;
  if (is("blocks_all")) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    look();
    sigprocmask(SIG_SETMASK, &before, NULL);
    look();
  }
  if (is("unblocks")) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    look();
  }
  if (is("looks")) look();
  if (is("own")) {
    const int before = own_handled;
    raise(SIGPROF);
    own_handled_inside += own_handled - before;
  }
  use_stack(milliseconds(20));
  if (is("jumps") || is("jump_executes") || is("jump_spawns")) longjmp(back, 1);
  if (is("executes")) executes();
  if (is("spawns") && handled == 1) spawns();
  if (is("forks") || is("vforks")) {
    const pid_t child = is("forks") ? fork() : vfork();
    if (child == 0) {
      executes();
      _exit(9);
    }
    waitpid(child, NULL, 0);
  }
}

static void on_own(int number) { own_handled += number == SIGPROF; }

static void set_handler(int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | flags}, now;
  sigaddset(&action.sa_mask, SIGUSR2);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR1, NULL, &now);
  printf("set: %d %d %d\n", now.sa_handler == on_signal, blocks(&now.sa_mask), sigismember(&now.sa_mask, SIGUSR2));
}

static void *rounds(void *nothing) {
  // A second one's frame, where the program itself lets one in.
  const size_t bytes = getauxval(AT_MINSIGSTKSZ) * (is("own") ? 2 : 1) + kForHandler;
  const size_t pages = (bytes + kPage - 1) / kPage + 1;
  char *room = mmap(NULL, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(room, kPage, PROT_NONE);
  const stack_t small = {.ss_sp = room + kPage, .ss_size = bytes};
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  if (is("before")) set_handler(0);
  if (sigaltstack(&small, NULL) != 0) return nothing;
  if (!is("before")) set_handler(0);
  if (is("names")) {
    sigset_t named;
    sigemptyset(&named);
    sigaddset(&named, SIGPROF);
    sigprocmask(SIG_BLOCK, &named, NULL);
    look();
  }
  if (is("own")) signal(SIGPROF, on_own);
  plain_work(milliseconds(60));
  for (volatile int i = 0; i < 5; ++i) {
    if (is("once")) set_handler((int)SA_RESETHAND);
    if (setjmp(back) == 0) {
      raise(SIGUSR1);
    } else {
      sigprocmask(SIG_UNBLOCK, &one, NULL);
    }
    look();
    plain_work(milliseconds(10));
  }
  if (is("jump_executes")) executes();
  if (is("jump_spawns")) spawns();
  if (is("names")) {
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("still %d\n", blocks(&now.sa_mask));
  }
  work_after(milliseconds(60));
  return nothing;
}

int main(int argc, char **argv) {
  how = argc > 1 ? argv[1] : "";
  if (is("blocked?")) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    printf("SIGPROF blocked: %d\n", blocks(&mask));
    return 0;
  }
  setvbuf(stdout, NULL, _IONBF, 0);
  if (is("threads")) {
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, rounds, NULL);
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  } else {
    rounds(NULL);
  }
  printf("handled some %d, spoiled %d, SIGPROF seen blocked %d, own handled %d, inside %d\n", handled > 0, (int)spoiled,
         (int)seen_blocked, (int)own_handled, (int)own_handled_inside);
  return 0;
}
