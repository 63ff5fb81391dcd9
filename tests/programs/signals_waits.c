// A program that blocks a signal, works, and then takes it by a wait: signals_waits NUMBER HOW WHEN [default]. NUMBER: the signal. HOW: the call.
// WHEN: `before` sends it to the process before the wait, `during` from a child while it waits, `itimer` has setitimer(ITIMER_PROF) send
// it, `never` waits for it with a limit. default: no handler is set, and the wait lets in what ends the program. Prints what came, and what the
// call returned.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(blocked_work, 6364136223846793005u)
BURNER(workers_work, 2862933555777941757u)

static volatile sig_atomic_t handled;
static int stops;

static void on_signal(int number) { handled = number; }

static void *works_beside(void *nothing) {
  (void)nothing;
  while (!__atomic_load_n(&stops, __ATOMIC_RELAXED)) workers_work(milliseconds(1));
  return NULL;
}

static const char *outcome(int result) { return result < 0 ? strerrorname_np(errno) : "returned"; }

int main(int argc, char **argv) {
  if (argc < 4) return 3;
  const int number = atoi(argv[1]);
  const char *how = argv[2], *when = argv[3];
  const int never = strcmp(when, "never") == 0;
  const struct timespec limit = {0, 120000000}, *timeout = never ? &limit : NULL;
  sigset_t set, without;
  pthread_t worker;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, &without);
  const int handles = strncmp(how, "sig", 3) != 0 || strcmp(how, "sigsuspend") == 0;
  if (handles && argc < 5) signal(number, on_signal);
  // Threads that are made now have it blocked too.
  if (pthread_create(&worker, NULL, works_beside, NULL) != 0) return 3;
  blocked_work(milliseconds(30));

  pid_t child = 0;
  if (strcmp(when, "before") == 0) kill(getpid(), number);
  if (strcmp(when, "itimer") == 0) setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {0, 20000}}, NULL);
  if (strcmp(when, "during") == 0) {
    child = fork();
    if (child == 0) {
      usleep(60000);
      kill(getppid(), number);
      _exit(0);
    }
  }

  const char *result = "";
  int came = 0;
  if (strcmp(how, "sigwait") == 0) {
    const int error = sigwait(&set, &came);
    result = error == 0 ? "returned" : strerrorname_np(error);
  } else if (strcmp(how, "sigwait_all") == 0) {
    sigset_t all;
    sigfillset(&all);
    if (child != 0) sigdelset(&all, SIGCHLD);
    const int error = sigwait(&all, &came);
    result = error == 0 ? "returned" : strerrorname_np(error);
  } else if (strcmp(how, "sigwaitinfo") == 0) {
    siginfo_t info = {0};
    came = sigwaitinfo(&set, &info);
    result = outcome(came);
    printf("of a process: %d\n", info.si_code == SI_USER);
  } else if (strcmp(how, "sigtimedwait") == 0) {
    came = sigtimedwait(&set, NULL, timeout);
    result = outcome(came);
  } else if (strcmp(how, "signalfd") == 0 || strcmp(how, "signalfd_all") == 0) {
    if (strcmp(how, "signalfd_all") == 0) sigfillset(&set);
    if (child != 0) sigdelset(&set, SIGCHLD);
    const int fd = signalfd(-1, &set, SFD_CLOEXEC);
    struct signalfd_siginfo info = {0};
    struct pollfd one = {fd, POLLIN, 0};
    const int ready = poll(&one, 1, never ? 120 : -1);
    if (ready == 1 && read(fd, &info, sizeof info) == sizeof info) came = (int)info.ssi_signo;
    result = outcome(ready);
  } else if (strcmp(how, "sigsuspend") == 0) {
    result = outcome(sigsuspend(&without));
  } else if (strcmp(how, "ppoll") == 0) {
    result = outcome(ppoll(NULL, 0, timeout, &without));
  } else if (strcmp(how, "pselect") == 0) {
    result = outcome(pselect(0, NULL, NULL, NULL, timeout, &without));
  } else if (strcmp(how, "epoll_pwait") == 0) {
    struct epoll_event event;
    result = outcome(epoll_pwait(epoll_create1(0), &event, 1, never ? 120 : -1, &without));
  } else if (strcmp(how, "pause") == 0) {
    // As it comes, wherever: the wait goes on until it has.
    pthread_sigmask(SIG_SETMASK, &without, NULL);
    while (!handled) poll(NULL, 0, 20);
    result = "waited";
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELAXED);
  pthread_join(worker, NULL);
  if (child != 0) waitpid(child, NULL, 0);
  sigset_t pending;
  sigpending(&pending);
  printf("%s %s %s: came %d, handled %d, still pending %d\n", how, when, result, came, (int)handled,
         sigismember(&pending, number));
  return 0;
}
