// What a program may do on a small stack: a handler's alternate one of 8 KB, of which the kernel's frame takes a part, or a thread's of
// PTHREAD_STACK_MIN. The first argument says what.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(work_first, 6364136223846793005u)

enum { kGuard = 4096, kAlternate = 8192, kVariables = 600 };

static const char *what;
static char *variables[kVariables + 1];

static void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(99);
}

static void say_status(int status) {
  char text[32];
  snprintf(text, sizeof(text), "status %x\n", (unsigned)status);
  say(text);
}

static void await(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  say_status(status);
}

static void act(void) {
  char *const arguments[] = {"true", NULL};
  pid_t child = 0;
  if (strcmp(what, "fork") == 0) {
    child = fork();
    if (child == 0) _exit(4);
    await(child);
  } else if (strcmp(what, "fork_exec") == 0) {
    child = fork();
    if (child == 0) {
      execvp("true", arguments);
      _exit(9);
    }
    await(child);
  } else if (strcmp(what, "spawn") == 0) {
    if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, variables) == 0) await(child);
  } else if (strcmp(what, "exit") == 0) {
    exit(7);
  } else if (strcmp(what, "quick_exit") == 0) {
    quick_exit(7);
  } else if (strcmp(what, "raise") == 0) {
    raise(SIGTERM);
  }
}

static void on_signal(int number) {
  (void)number;
  act();
}

// As Rust's handler does it.
static void on_overflow(int number) {
  (void)number;
  char text[700];
  memset(text, ' ', sizeof(text));
  memcpy(text, "overflow\n", 10);
  say(text);
  abort();
}

NOT_INLINED static int deep(int n) {
  volatile char frame[1000];
  frame[n % 1000] = 1;
  return n == -1 ? 0 : deep(n + 1) + frame[3];
}

static void *in_thread(void *unused) {
  act();
  return unused;
}

int main(int argc, char **argv) {
  what = argc > 1 ? argv[1] : "";
  work_first(milliseconds(60));
  for (int i = 0; i < kVariables; ++i) {
    variables[i] = malloc(16);
    if (variables[i] == NULL) return 99;
    snprintf(variables[i], 16, "V%d=x", i);
  }
  if (argc > 2) {
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &small, in_thread, NULL) == 0) pthread_join(thread, NULL);
    return 5;
  }
  char *stack = mmap(NULL, kGuard + kAlternate, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED || mprotect(stack, kGuard, PROT_NONE) != 0) return 99;
  const stack_t alternate = {.ss_sp = stack + kGuard, .ss_size = kAlternate};
  sigaltstack(&alternate, NULL);
  const int overflows = strcmp(what, "overflow") == 0;
  struct sigaction action = {.sa_handler = overflows ? on_overflow : on_signal, .sa_flags = SA_ONSTACK};
  // A tick would take as much again as the signal itself, which is more than there is: README's limits.
  sigaddset(&action.sa_mask, SIGPROF);
  sigaction(overflows ? SIGSEGV : SIGUSR1, &action, NULL);
  if (overflows) return deep(0);
  raise(SIGUSR1);
  return 5;
}
