// Executes itself by posix_spawn with attributes that are about the signals libprof uses: reset to their defaults, blocked, both or neither,
// where this program ignores, handles or blocks them itself; by fork and vfork; and by system() and popen(). What is executed prints what it has of them, and
// burns child_work(). Then what system() promises, where they are ignored: its answers, and which signals do what while it waits.
// build: -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(child_work, 6364136223846793005u)

extern char **environ;

static const int numbers[] = {SIGPROF, SIGUSR2, SIGTERM};
enum { kNumbers = sizeof numbers / sizeof *numbers };

static void on_signal(int number) { (void)number; }

static int child_main(void) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  for (int i = 0; i < kNumbers; ++i) {
    struct sigaction now;
    sigaction(numbers[i], NULL, &now);
    printf(" %s%s",
           now.sa_handler == SIG_DFL   ? "default"
           : now.sa_handler == SIG_IGN ? "ignored"
                                       : "handled",
           sigismember(&mask, numbers[i]) ? ", blocked" : "");
  }
  printf("\n");
  fflush(stdout);
  child_work(milliseconds(20));
  return 7;
}

static void spawn(char *self, int resets, int masks) {
  posix_spawnattr_t attributes;
  sigset_t signals;
  sigemptyset(&signals);
  for (int i = 0; i < kNumbers; ++i) sigaddset(&signals, numbers[i]);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           (short)((resets ? POSIX_SPAWN_SETSIGDEF : 0) | (masks ? POSIX_SPAWN_SETSIGMASK : 0)));
  char *words[] = {self, (char *)"child", NULL};
  printf("reset %d, mask %d:", resets, masks);
  fflush(stdout);
  pid_t child;
  int status = -1;
  const int error = posix_spawn(&child, "/proc/self/exe", NULL, &attributes, words, environ);
  if (error == 0) waitpid(child, &status, 0);
  posix_spawnattr_destroy(&attributes);
  if (error != 0 || status != 7 << 8) printf("error %d, status %x\n", error, (unsigned)status);
}

// Where the child resets them itself, its parent has them as before.
static void by_fork(int with_vfork, int resets) {
  printf("%s, resets %d:", with_vfork ? "vfork" : "fork", resets);
  fflush(stdout);
  const pid_t child = with_vfork ? vfork() : fork();
  if (child == 0) {
    for (int i = 0; resets && i < kNumbers; ++i) signal(numbers[i], SIG_DFL);
    execl("/nonexistent", "none", (char *)NULL);
    execl("/proc/self/exe", "trees_spawn_signals", "child", (char *)NULL);
    _exit(9);
  }
  int status = -1;
  waitpid(child, &status, 0);
  printf("status %x, here:", (unsigned)status);
  for (int i = 0; i < kNumbers; ++i) {
    struct sigaction now;
    sigaction(numbers[i], NULL, &now);
    printf(" %s", now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
  printf("\n");
}

static char command[4200];

static void by_shell(void) {
  printf("system:");
  fflush(stdout);
  const int status = system(command);
  printf("status %x\npopen:", (unsigned)status);
  fflush(stdout);
  FILE *output = popen(command, "r");
  for (int c; output && (c = fgetc(output)) != EOF;) putchar(c);
  printf("status %x\n", (unsigned)(output ? pclose(output) : -1));
  fflush(stdout);
}

// Of this process.
static void show(const char *when) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  struct sigaction interrupt, quit;
  sigaction(SIGINT, NULL, &interrupt);
  sigaction(SIGQUIT, NULL, &quit);
  printf("%s: SIGINT %d, SIGQUIT %d, SIGCHLD blocked %d\n", when, interrupt.sa_handler == SIG_IGN,
         quit.sa_handler == SIG_DFL, sigismember(&mask, SIGCHLD));
  fflush(stdout);
}

static void *waits_for_shell(void *unused) {
  (void)unused;
  system("echo $$; exec sleep 1000");
  return NULL;
}

static void check_system(void) {
  static const char *const commands[] = {"exit 3",
                                         "kill -TERM $$",
                                         "no-such-command 2>&1 | wc -l",
                                         "",
                                         "kill -INT $PPID; kill -QUIT $PPID; echo lives",
                                         "(kill -INT $$); echo not reached"};
  show("before");
  for (unsigned i = 0; i < sizeof commands / sizeof *commands; ++i) {
    const int status = system(commands[i]);
    printf("%s: %x\n", commands[i], (unsigned)status);
    fflush(stdout);
  }
  printf("a shell: %d\n", system(NULL));
  show("after");
  // Cancelled: the shell ends with it.
  int ends[2], kept = dup(1);
  char text[32] = "";
  if (pipe(ends) != 0 || kept < 0) return;
  dup2(ends[1], 1);
  close(ends[1]);
  pthread_t thread;
  pthread_create(&thread, NULL, waits_for_shell, NULL);
  if (read(ends[0], text, sizeof text - 1) <= 0) return;
  pthread_cancel(thread);
  void *result;
  pthread_join(thread, &result);
  dup2(kept, 1);
  printf("cancelled: %d, ", result == PTHREAD_CANCELED);
  printf("its shell: %s\n", kill((pid_t)atoi(text), 0) == 0 ? "there" : strerrorname_np(errno));
  show("after");
  char *none = NULL, **before = environ;
  environ = &none;
  printf("without an environment: %x\n", (unsigned)system("exit 4"));
  environ = before;
}

int main(int argc, char **argv) {
  if (argc > 1) return child_main();
  if (readlink("/proc/self/exe", command, sizeof command - 100) <= 0) return 2;
  strcat(command, " child");
  sighandler_t const handlers[] = {SIG_DFL, SIG_IGN, on_signal};
  for (int way = 0; way < 3; ++way) {
    for (int i = 0; i < kNumbers; ++i) signal(numbers[i], handlers[way]);
    for (int resets = 0; resets < 2; ++resets)
      for (int masks = 0; masks < 2; ++masks) spawn(argv[0], resets, masks);
    for (int how = 0; how < 4; ++how) by_fork(how & 1, how >> 1);
    by_shell();
    if (way == 1) check_system();
  }
  return 0;
}
