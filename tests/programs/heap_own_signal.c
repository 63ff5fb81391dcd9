// Shows a program that has a use of its own for a signal: three of them, each of which must reach it. Arguments:
// folder (of a snapshot to wait for first, or -), signal number, and how: sigaction, signal, sigwait, sigtimedwait,
// signalfd, or early (the library heap_early handles it already).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "heap_books.h"

static volatile int taken;
static int ready;
static void on_signal(int number) { taken += number != 0; }
static void on_signal_with_info(int number, siginfo_t *info, void *context) {
  taken += number != 0 && info->si_pid == getpid() && context != NULL;
}

ALLOCATES(allocates_here, malloc(size))

static const char *name_of(const struct sigaction *action) {
  if (action->sa_flags & SA_SIGINFO) return "with info";
  return action->sa_handler == SIG_DFL ? "default" : action->sa_handler == SIG_IGN ? "ignore" : "handler";
}

static void *sends(void *number) {
  while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
  for (int i = 0; i < 3; ++i) {
    while (__atomic_load_n(&taken, __ATOMIC_RELAXED) < i) nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
    kill(getpid(), (int)(long)number);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const long number = atoi(argv[2]);
  const char *how = argv[3];
  struct sigaction before, between, after;
  char path[1000];
  for (int i = 0; i < 100; ++i) allocates_here(100);
  sigaction((int)number, NULL, &before);
  if (argv[1][0] != '-') {
    snprintf(path, sizeof path, "%s/heap.1.prof", argv[1]);
    kill(getpid(), (int)number);
    for (int i = 0; access(path, F_OK) != 0 && i < 60000; ++i) nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
  }
  sigaction((int)number, NULL, &between);

  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, (int)number);
  const int waits = strncmp(how, "sig", 3) == 0 && strcmp(how, "sigaction") != 0 && strcmp(how, "signal") != 0;
  if (waits) pthread_sigmask(SIG_BLOCK, &set, NULL);
  struct sigaction mine = {.sa_sigaction = on_signal_with_info, .sa_flags = SA_SIGINFO | SA_RESTART};
  if (strcmp(how, "sigaction") == 0) sigaction((int)number, &mine, &after);
  if (strcmp(how, "signal") == 0) signal((int)number, on_signal);
  pthread_t id;
  int file = -1;
  if (strcmp(how, "signalfd") == 0) file = signalfd(-1, &set, SFD_CLOEXEC);
  if (waits) {
    pthread_create(&id, NULL, sends, (void *)number);
    for (int i = 0; i < 3; ++i) {
      struct signalfd_siginfo info;
      int got = 0;
      if (file >= 0) __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
      // A signal that is pending now must not be taken, but only from when it is known that the program waits for it.
      for (int j = 0; j < 100 && (i > 0 || file >= 0); ++j) allocates_here(10);
      __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
      if (strcmp(how, "sigwait") == 0) sigwait(&set, &got);
      if (strcmp(how, "sigtimedwait") == 0) got = sigtimedwait(&set, NULL, &(const struct timespec){60, 0});
      if (file >= 0 && read(file, &info, sizeof info) == sizeof info) got = (int)info.ssi_signo;
      __atomic_fetch_add(&taken, got == number, __ATOMIC_RELAXED);
    }
    pthread_join(id, NULL);
  } else {
    for (int i = 0; i < 3; ++i) kill(getpid(), (int)number);
  }
  sigaction((int)number, NULL, &after);
  int (*early_signals)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "early_signals");
  printf("{\"taken\": %d, \"early\": %d, \"before\": \"%s\", \"between\": \"%s\", \"after\": \"%s\"}\n", taken,
         early_signals ? early_signals() : 0, name_of(&before), name_of(&between), name_of(&after));
}
