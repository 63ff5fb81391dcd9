// A program with timers of its own: the first argument says which. Prints whether enough came, and not more.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "victim.h"

BURNER(timed_work, 6364136223846793005u)

enum { kEveryMs = 10, kWorkMs = 200 };

// What interval timers count: the process's time as the kernel's ticks find it, which is not the CPU time that the scheduler measures.
enum { kClockOfProf = ~0u << 3, kClockOfVirtual = (~0u << 3) | 1 };

static volatile sig_atomic_t handled, codes;
static double worked_ms;  // while the timer ran, by its own clock

static double ms_by(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)context;
  handled = handled + 1;
  codes |= info->si_code == SI_TIMER ? 1 : info->si_code == SI_KERNEL ? 2 : 4;
}

static void on_notice(union sigval value) {
  (void)value;
  __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void handle(int number) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(number, &action, NULL);
}

static int of_interval_timer(int which, clockid_t clock, int number) {
  const struct itimerval often = {{0, kEveryMs * 1000}, {0, kEveryMs * 1000}}, never = {{0, 0}, {0, 0}};
  struct itimerval before, left;
  handle(number);
  const double began_ms = ms_by(clock);
  setitimer(which, &often, &before);
  timed_work(milliseconds(kWorkMs));
  getitimer(which, &left);
  setitimer(which, &never, NULL);
  worked_ms = ms_by(clock) - began_ms;
  printf("set before %d, every %ld ms\n", before.it_interval.tv_usec != 0, (long)left.it_interval.tv_usec / 1000);
  return 1;
}

static int of_posix_timer(clockid_t clock, int notify, int number) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = number, .sigev_value.sival_int = 7};
  const struct itimerspec often = {{0, kEveryMs * 1000000}, {0, kEveryMs * 1000000}};
  timer_t timer;
  if (notify == SIGEV_THREAD) event.sigev_notify_function = on_notice;
  if (notify == SIGEV_SIGNAL) handle(number);
  if (timer_create(clock, &event, &timer) != 0) return 0;
  const double began_ms = ms_by(clock);
  timer_settime(timer, 0, &often, NULL);
  timed_work(milliseconds(kWorkMs));
  timer_delete(timer);
  worked_ms = ms_by(clock) - began_ms;
  return 1;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  int is_counted = 0;
  timed_work(milliseconds(50));
  if (strcmp(how, "prof") == 0) is_counted = of_interval_timer(ITIMER_PROF, kClockOfProf, SIGPROF);
  if (strcmp(how, "virtual") == 0) is_counted = of_interval_timer(ITIMER_VIRTUAL, kClockOfVirtual, SIGVTALRM);
  if (strcmp(how, "real") == 0) is_counted = of_interval_timer(ITIMER_REAL, CLOCK_MONOTONIC, SIGALRM);
  if (strcmp(how, "signal") == 0) is_counted = of_posix_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3);
  if (strcmp(how, "thread") == 0) is_counted = of_posix_timer(CLOCK_MONOTONIC, SIGEV_THREAD, 0);
  if (strcmp(how, "cpu") == 0) is_counted = of_posix_timer(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1);
  if (strcmp(how, "sigprof") == 0) is_counted = of_posix_timer(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGPROF);
  if (is_counted) {
    const double least_ms = worked_ms < kWorkMs ? worked_ms : kWorkMs;
    printf("%s: some %d, not more %d, by %d\n", how, handled >= least_ms / kEveryMs / 4,
           handled <= worked_ms / kEveryMs + 1, (int)codes);
  }

  // A limit on CPU time: the default action is the end, whoever else uses the signal.
  if (strcmp(how, "limit") == 0) {
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {0, 100000}}, NULL);
    puts("works too long");
    fflush(stdout);
    timed_work(seconds(5));
    puts("was not ended");
  }
  if (strcmp(how, "killed") == 0) {
    puts("is ended");
    fflush(stdout);
    kill(getpid(), SIGPROF);
    timed_work(milliseconds(50));
    puts("was not ended");
  }
  if (strcmp(how, "ignored") == 0) {
    signal(SIGPROF, SIG_IGN);
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL);
    timed_work(milliseconds(100));
    raise(SIGPROF);
    puts("goes on");
  }
  // What a reset leaves behind: nothing of ours may end it, or what it starts.
  if (strcmp(how, "reset") == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    for (int i = 0; i < 20; ++i) {
      sigprocmask(SIG_BLOCK, &set, NULL);
      timed_work(milliseconds(5));
      signal(SIGPROF, SIG_DFL);
      sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
    puts("goes on");
  }
  // A tick that is blocked and pending does not come to the program that is next.
  if (strcmp(how, "exec") == 0 || strcmp(how, "exec_in_child") == 0) {
    const int rounds = argc > 2 ? atoi(argv[2]) : 8;
    const int in_child = strcmp(how, "exec_in_child") == 0;
    char left[16];
    snprintf(left, sizeof left, "%d", rounds - 1);
    if (rounds == 0) {
      puts("arrived");
      return 0;
    }
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timed_work(milliseconds(5));
    if (in_child && fork() != 0) {
      int status = 0;
      wait(&status);
      if (status != 0) printf("status %#x\n", status);
      return WEXITSTATUS(status);
    }
    if (in_child) timed_work(milliseconds(5));
    sigemptyset(&set);
    execl("/proc/self/exe", argv[0], "unblocks", how, left, NULL);
    return 4;
  }
  if (strcmp(how, "unblocks") == 0) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    execl("/proc/self/exe", argv[0], argv[2], argv[3], NULL);
    return 4;
  }
  return 0;
}
