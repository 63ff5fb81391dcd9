// The calls that set a signal's action or mask without a struct sigaction, what is read back of them, and calls that are given memory that is
// not there: signals_simple NUMBER [handles]. Prints what each answered.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

extern int bsd_sigpause(int mask) __asm__("sigpause");
extern int __sigpause(int signal_or_mask, int is_signal);
extern sighandler_t sysv_signal(int number, sighandler_t handler);
extern sighandler_t ssignal(int number, sighandler_t handler);

static volatile sig_atomic_t handled;

static void on_signal(int number) { handled = number; }

static const char *name_of(sighandler_t handler) {
  if (handler == SIG_DFL) return "default";
  if (handler == SIG_IGN) return "ignore";
  if (handler == SIG_ERR) return strerrorname_np(errno);
  if (handler == SIG_HOLD) return "hold";
  return handler == on_signal ? "on_signal" : "another";
}

static const char *outcome(int result) { return result == 0 ? "0" : result > 0 ? "more" : strerrorname_np(errno); }

static void show(int number, const char *what) {
  struct sigaction now;
  sigset_t mask;
  unsigned long word;
  sigaction(number, NULL, &now);
  memcpy(&word, &now.sa_mask, sizeof(word));
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  printf("%s: %s flags %x mask %lx restorer %d blocked %d\n", what, name_of(now.sa_handler), (unsigned)now.sa_flags,
         word, now.sa_restorer != NULL, sigismember(&mask, number));
}

static void sets(int number) {
  show(number, "at first");
  printf("%s\n", name_of(signal(number, SIG_ERR)));
  printf("%s\n", name_of(sysv_signal(number, SIG_ERR)));
  printf("%s\n", name_of(sigset(number, SIG_ERR)));
  printf("%s %s\n", name_of(signal(0, SIG_IGN)), name_of(signal(32, SIG_IGN)));
  printf("%s %s\n", name_of(sigset(65, SIG_HOLD)), name_of(sigset(SIGKILL, SIG_IGN)));
  printf("%s %s\n", outcome(sigignore(0)), outcome(sighold(33)));
  printf("%s %s\n", outcome(sigrelse(-1)), outcome(siginterrupt(100, 1)));
  show(number, "unchanged");
  // Its default, ignored, held.
  printf("%s\n", name_of(sigset(number, SIG_HOLD)));
  show(number, "held");
  printf("%s\n", name_of(sigset(number, SIG_HOLD)));
  printf("%s\n", name_of(sigset(number, SIG_IGN)));
  show(number, "set");
  printf("%s\n", name_of(sigset(number, SIG_DFL)));
  printf("%s\n", outcome(sigignore(number)));
  show(number, "sigignore");
  printf("%s\n", name_of(signal(number, SIG_DFL)));
  show(number, "signal default");
  printf("%s\n", outcome(sighold(number)));
  kill(getpid(), number);
  sigset_t pending;
  sigpending(&pending);
  printf("pending %d\n", sigismember(&pending, number));
  const struct sigaction wanted = {.sa_handler = SIG_IGN, .sa_flags = SA_NODEFER};
  printf("%s\n", outcome(sigaction(number, &wanted, NULL)));
  show(number, "sigaction");
  sigpending(&pending);
  printf("%s, pending %d\n", outcome(sigrelse(number)), sigismember(&pending, number));
  printf("%s\n", outcome(siginterrupt(number, 1)));
  show(number, "interrupts");
  printf("%s\n", outcome(siginterrupt(number, 0)));
  show(number, "restarts");
}

static void handles(int number) {
  printf("%s\n", name_of(sigset(number, on_signal)));
  show(number, "sigset");
  printf("%s\n", outcome(sighold(number)));
  printf("%s\n", name_of(sigset(number, on_signal)));
  raise(number);
  printf("handled %d\n", handled == number);
  handled = 0;
  printf("%s\n", outcome(siginterrupt(number, 1)));
  printf("%s\n", name_of(signal(number, on_signal)));
  show(number, "signal interrupts");
  printf("%s\n", outcome(siginterrupt(number, 0)));
  printf("%s\n", name_of(ssignal(number, on_signal)));
  show(number, "signal restarts");
  printf("%s\n", name_of(sysv_signal(number, on_signal)));
  show(number, "sysv_signal");
  signal(number, on_signal);
  for (int i = 0; i < 3; ++i) {
    sighold(number);
    raise(number);
    const int before = handled;
    const int result = i == 0 ? sigpause(number) : i == 1 ? bsd_sigpause(0) : __sigpause(number, 1);
    printf("%d: %s, handled %d\n", before, outcome(result), handled == number);
    handled = 0;
    sigrelse(number);
  }
}

static void is_given_nothing(int number) {
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 4096);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  const struct timespec at_once = {0, 0};
  struct epoll_event event;
  const int epoll = epoll_create1(0);
  const int descriptor = signalfd(-1, &set, SFD_NONBLOCK);
  // Wholly beyond, and half of it.
  const int beyond[] = {4096, 4092};
  for (int i = 0; i < 2; ++i) {
    void *const gone = page + beyond[i];
    printf("sigtimedwait %s ", outcome(sigtimedwait(gone, NULL, &at_once)));
    printf("%s ", outcome(sigtimedwait(&set, NULL, gone)));
    printf("%s\n", outcome(sigwaitinfo(gone, NULL)));
    int came;
    printf("sigwait %s\n", strerrorname_np(sigwait(gone, &came)));
    printf("signalfd %s\n", outcome(signalfd(descriptor, gone, 0)));
    printf("sigsuspend %s\n", outcome(sigsuspend(gone)));
    printf("ppoll %s\n", outcome(ppoll(NULL, 0, &at_once, gone)));
    printf("pselect %s\n", outcome(pselect(0, NULL, NULL, NULL, &at_once, gone)));
    printf("epoll_pwait %s ", outcome(epoll_pwait(epoll, &event, 1, 0, gone)));
    printf("%s\n", outcome(epoll_pwait2(epoll, &event, 1, &at_once, gone)));
    printf("sigaltstack %s ", outcome(sigaltstack(gone, NULL)));
    printf("%s\n", outcome(sigaltstack(NULL, gone)));
    printf("sigpending %s\n", outcome(sigpending(gone)));
  }
  // So much as the kernel reads is there.
  memset(page + 4088, 0, 8);
  printf("ppoll %s\n", outcome(ppoll(NULL, 0, &at_once, (sigset_t *)(page + 4088))));
}

int main(int argc, char **argv) {
  if (argc < 2) return 3;
  const int number = atoi(argv[1]);
  // libprof leaves the signal to who has a handler, or reads it.
  if (argc > 2 && strcmp(argv[2], "handles") == 0) {
    handles(number);
    sets(number);
    return 0;
  }
  sets(number);
  is_given_nothing(number);
  handles(number);
  return 0;
}
