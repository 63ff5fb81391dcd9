// A program with a use of its own for SIGPROF: the first argument says which. It works before, meanwhile and afterwards, and prints
// what it saw.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

BURNER(works_before, 6364136223846793005u)
BURNER(works_meanwhile, 2862933555777941757u)

static volatile sig_atomic_t handled;

static void on_signal(int number) { handled += number == SIGPROF; }

static const char *name_of(void (*handler)(int)) {
  return handler == SIG_DFL ? "default" : handler == SIG_IGN ? "ignored" : handler == on_signal ? "mine" : "another's";
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  struct sigaction before;
  sigset_t profiling, blocked;
  sigemptyset(&profiling);
  sigaddset(&profiling, SIGPROF);
  works_before(milliseconds(60));
  if (sigaction(SIGPROF, NULL, &before) != 0) return 3;
  printf("at first: %s\n", name_of(before.sa_handler));

  if (strcmp(how, "blocks") == 0) pthread_sigmask(SIG_BLOCK, &profiling, NULL);
  if (strcmp(how, "ignores") == 0) printf("before: %s\n", name_of(signal(SIGPROF, SIG_IGN)));
  if (strcmp(how, "handles") == 0) printf("before: %s\n", name_of(signal(SIGPROF, on_signal)));
  works_meanwhile(milliseconds(60));
  if (strcmp(how, "handles") == 0)
    for (int i = 0; i < 3; ++i) raise(SIGPROF);
  pthread_sigmask(SIG_BLOCK, NULL, &blocked);
  sigaction(SIGPROF, NULL, &before);
  if (strcmp(how, "ignores_then_exec") == 0) {
    signal(SIGPROF, SIG_IGN);
    execl("/nonexistent", "nothing", NULL);
    works_meanwhile(milliseconds(30));
    execl("/proc/self/exe", argv[0], "unused", NULL);
  }
  printf("handled %d, blocked %d, now: %s\n", (int)handled, sigismember(&blocked, SIGPROF), name_of(before.sa_handler));
  return 0;
}
