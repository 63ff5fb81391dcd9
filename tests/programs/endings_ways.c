// Ends in the way that its argument names, after work of its own: work_first, and work_second where it goes on as another program or in
// another thread. What it prints is written at once, and says in which order things happened.
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // sigset
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(work_first, 6364136223846793005u)
BURNER(work_second, 2862933555777941757u)

#define WORK_NS milliseconds(60)

// The CPU profile that the program itself begins, where it is to: prof.h is not included, because libprof sees that.
static void begin_profile(void) {
  const char *path = getenv("ENDINGS_PROFILE");
  if (path == NULL) return;
  int (*start)(const char *);
  void *found = dlsym(RTLD_DEFAULT, "prof_start_cpu");
  memcpy(&start, &found, sizeof(start));
  if (found != NULL && start(path) != 0) puts("not begun");
}

static void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(99);
}

static void at_exit(void) { say("atexit\n"); }
static void at_quick(void) { say("at_quick_exit\n"); }
static void on_signal(int number) {
  char text[32];
  snprintf(text, sizeof(text), "handler of %d\n", number);
  say(text);
}
static void on_signal_exits(int number) {
  on_signal(number);
  _exit(3);
}

static void on_signal_raises(int number) {
  on_signal(number);
  signal(number, SIG_DFL);
  raise(number);
}

static int is(const char *way, const char *name) { return strcmp(way, name) == 0; }

NOT_INLINED static void fault(int number) {
  static int *volatile nowhere;
  if (number == SIGSEGV) *nowhere = 1;
  if (number == SIGILL) __asm__ volatile("ud2");
  if (number == SIGTRAP) __asm__ volatile("int3");
  if (number == SIGFPE) __asm__ volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tidivl %%ecx" ::: "eax", "ecx", "edx");
}

static const char *thread_way;

static void *ends_first(void *unused) {
  (void)unused;
  _exit(3);
}

static void *second_thread(void *unused) {
  (void)unused;
  work_second(WORK_NS);
  if (is(thread_way, "thread_exit") || is(thread_way, "threads_exit") || is(thread_way, "thread_cancelled")) exit(5);
  if (is(thread_way, "threads_exec")) execl("/proc/self/exe", "endings_ways", "second", (char *)NULL);
  if (is(thread_way, "thread__exit")) _exit(5);
  if (is(thread_way, "thread_abort")) abort();
  if (is(thread_way, "thread_segv") || is(thread_way, "threads_segv")) fault(SIGSEGV);
  if (is(thread_way, "thread_last_TERM")) raise(SIGTERM);
  say("the last thread ends\n");
  return NULL;
}

static void end_in_thread(const char *way) {
  pthread_t thread;
  thread_way = way;
  const int count = strncmp(way, "threads", 7) == 0 ? 4 : 1;
  for (int i = 0; i < count; ++i) pthread_create(&thread, NULL, second_thread, NULL);
  if (is(way, "thread_cancelled")) pthread_cancel(thread);
  // By return: that goes past any hook of exit().
  if (is(way, "threads_exit")) {
    work_first(WORK_NS);
    return;
  }
  if (is(way, "pthread_exit") || is(way, "thread_last_TERM")) pthread_exit(NULL);
  for (;;) pause();
}

// Every signal's disposition as the program sees it, after each way to set one.
static int check_views(void) {
  int seen = 0;
  struct sigaction now, action;
  for (int number = 1; number < SIGRTMAX; ++number) {
    if (sigaction(number, NULL, &now) != 0) continue;
    if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN) printf("signal %d has a handler\n", number);
  }
  memset(&action, 0, sizeof(action));
  action.sa_flags = SA_RESTART;
  sigaddset(&action.sa_mask, SIGUSR1);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGTERM, NULL, &now);
  printf("default: %d, flags %x, mask %d\n", now.sa_handler == SIG_DFL, (unsigned)now.sa_flags & ~0x04000000u,
         sigismember(&now.sa_mask, SIGUSR1));
  printf("signal: %d\n", signal(SIGTERM, on_signal) == SIG_DFL);
  printf("signal: %d\n", signal(SIGTERM, SIG_DFL) == on_signal);
  printf("sysv_signal: %d\n", sysv_signal(SIGTERM, SIG_IGN) == SIG_DFL);
  printf("sigset: %d\n", sigset(SIGTERM, SIG_DFL) == SIG_IGN);
  printf("sigset: %d\n", sigset(SIGTERM, on_signal) == SIG_DFL);
  raise(SIGTERM);
  printf("ssignal: %d\n", ssignal(SIGTERM, SIG_DFL) == on_signal);
  fflush(stdout);
  return seen;
}

static void wait_for(pid_t child) {
  int status = 0;
  const pid_t ended = waitpid(child, &status, 0);
  printf("child: %d, status %x\n", ended == child, (unsigned)status);
  printf("no other child: %d\n", waitpid(-1, &status, __WALL | WNOHANG));
  fflush(stdout);
}

static int check_children(void) {
  for (int worked = 0; worked < 2; ++worked) {
    pid_t child = fork();
    if (child == 0) {
      if (worked) work_second(WORK_NS);
      _exit(3);
    }
    wait_for(child);
    child = fork();
    if (child == 0) {
      if (worked) work_second(WORK_NS);
      raise(SIGTERM);
    }
    wait_for(child);
  }
  pid_t child = vfork();
  if (child == 0) _exit(4);
  wait_for(child);
  child = vfork();
  if (child == 0) {
    kill(getpid(), SIGTERM);
    for (;;) pause();
  }
  wait_for(child);
  child = (pid_t)syscall(SYS_fork);
  if (child == 0) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGTERM);
    for (;;) pause();
  }
  wait_for(child);
  return 0;
}

// A child for each signal whose default is the end, but SIGKILL, and SIGUSR2, which asks libprof for a snapshot.
static int raise_every_signal(void) {
  for (int number = 1; number <= 64; ++number) {
    const int stays = number == SIGKILL || number == SIGUSR2 || number == SIGCHLD || number == SIGCONT ||
                      (number >= SIGSTOP && number <= SIGURG) || number == SIGWINCH || number == 32 || number == 33;
    if (stays) continue;
    printf("signal %d: ", number);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      if (number < 32) work_second(milliseconds(4));
      raise(number);
      _exit(0);
    }
    wait_for(child);
  }
  return 0;
}

// Two signals at once. Of those that wait blocked the thread's own go first, then the lowest, and what the program handles comes too late;
// of others the first that is sent is the end, though the second may come while the profiles are written.
static int raise_pairs(void) {
  static const struct {
    int first, second, to_thread, blocked;
  } pairs[] = {{SIGTERM, SIGHUP, 0, 1},  {SIGHUP, SIGTERM, 0, 1},  {SIGTERM, SIGHUP, 1, 1}, {SIGQUIT, SIGHUP, 0, 1},
               {SIGTERM, SIGSEGV, 0, 1}, {SIGUSR1, SIGTERM, 0, 1}, {SIGINT, SIGTERM, 0, 0}};
  signal(SIGUSR1, on_signal);
  for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      sigset_t all, none;
      sigfillset(&all);
      sigemptyset(&none);
      work_second(milliseconds(10));
      if (pairs[i].blocked) {
        sigprocmask(SIG_BLOCK, &all, NULL);
        if (pairs[i].to_thread) raise(pairs[i].first);
        if (!pairs[i].to_thread) kill(getpid(), pairs[i].first);
        kill(getpid(), pairs[i].second);
        sigprocmask(SIG_SETMASK, &none, NULL);
      } else {
        const pid_t self = getpid();
        if (fork() == 0) {
          kill(self, pairs[i].first);
          kill(self, pairs[i].second);
          _exit(0);
        }
      }
      for (;;) pause();
    }
    printf("%d %d: ", pairs[i].first, pairs[i].second);
    wait_for(child);
  }
  return 0;
}

static int child_exits(void) {
  const pid_t child = vfork();
  if (child == 0) exit(4);
  wait_for(child);
  return work_second(WORK_NS) == 0;
}

static int go_on_as(char **argv, const char *way) {
  if (is(way, "exec_fails")) {
    char *const none[] = {NULL};
    printf("%d ", execve("/nonexistent", argv, none));
    printf("%d ", execlp("no-such-program-anywhere", "x", (char *)NULL));
    printf("%d\n", execv("/etc/passwd", argv));
    fflush(stdout);
  }
  if (is(way, "exec_unreadable")) {
    // As after giving up root: no other process may read this one. The first is no program, which only the kernel finds out.
    prctl(PR_SET_DUMPABLE, 0);
    const int file = open("no_program", O_WRONLY | O_CREAT, 0755);
    close(file);
    char *const none[] = {NULL};
    printf("%d\n", execve("no_program", argv, none));
    fflush(stdout);
  }
  execl("/proc/self/exe", argv[0], "second", (char *)NULL);
  return 9;
}

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "return";
  if (is(way, "second")) return work_second(WORK_NS) == 0;
  // A thread that is in _exit takes its time, and another's exit() may print meanwhile.
  if (!is(way, "_exit_then_exit") && !is(way, "threads_exit") && !is(way, "thread_cancelled")) atexit(at_exit);
  at_quick_exit(at_quick);
  begin_profile();
  work_first(WORK_NS);
  if (is(way, "exit")) exit(7);
  if (is(way, "_exit")) _exit(7);
  if (is(way, "_Exit")) _Exit(7);
  if (is(way, "quick_exit")) quick_exit(7);
  if (is(way, "_exit_then_exit")) {
    pthread_t thread;
    pthread_create(&thread, NULL, ends_first, NULL);
    usleep(20000);
    exit(7);
  }
  if (is(way, "raise_on_small_stack")) {
    static char memory[2048];
    const stack_t small = {.ss_sp = memory, .ss_size = sizeof memory};
    sigaltstack(&small, NULL);
    raise(SIGTERM);
  }
  if (is(way, "abort")) abort();
  if (is(way, "abort_handled")) {
    signal(SIGABRT, on_signal);
    abort();
  }
  if (is(way, "abort_exits")) {
    signal(SIGABRT, on_signal_exits);
    abort();
  }
  if (is(way, "abort_ignored")) {
    signal(SIGABRT, SIG_IGN);
    abort();
  }
  if (is(way, "raise")) raise(atoi(argv[2]));
  if (is(way, "fault")) fault(atoi(argv[2]));
  if (is(way, "fault_handled")) {
    signal(atoi(argv[2]), on_signal_exits);
    fault(atoi(argv[2]));
  }
  if (is(way, "fault_once")) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(atoi(argv[2]), &action, NULL);
    fault(atoi(argv[2]));
  }
  if (is(way, "raise_again")) {
    signal(atoi(argv[2]), on_signal_raises);
    raise(atoi(argv[2]));
  }
  if (is(way, "raise_once")) {
    sysv_signal(atoi(argv[2]), on_signal);
    raise(atoi(argv[2]));
    raise(atoi(argv[2]));
  }
  if (is(way, "raise_reset")) {
    signal(atoi(argv[2]), on_signal);
    raise(atoi(argv[2]));
    signal(atoi(argv[2]), SIG_DFL);
    raise(atoi(argv[2]));
  }
  if (is(way, "kill")) kill(getpid(), SIGKILL);
  if (is(way, "views")) return check_views();
  if (is(way, "every_signal")) return raise_every_signal();
  if (is(way, "pairs")) return raise_pairs();
  if (is(way, "children")) return check_children();
  if (is(way, "vfork_exits")) return child_exits();
  if (is(way, "daemon")) {
    if (daemon(1, 1) != 0) return 9;
    return work_second(WORK_NS) == 0;
  }
  if (is(way, "exec") || is(way, "exec_fails") || is(way, "exec_unreadable")) return go_on_as(argv, way);
  if (is(way, "seccomp_probed")) {
    printf("%d\n", prctl(PR_SET_SECCOMP, 77));
    fflush(stdout);
    raise(SIGTERM);
  }
  if (is(way, "strict")) {
    if (argc > 2) {
      alarm(1);  // the end comes from outside
      prctl(PR_SET_SECCOMP, 1);
      for (;;) continue;
    }
    prctl(PR_SET_SECCOMP, 1);
    syscall(SYS_exit, 6);
  }
  if (strncmp(way, "thread", 6) == 0 || is(way, "pthread_exit")) end_in_thread(way);
  return is(way, "threads_exit") ? 5 : 0;
}
