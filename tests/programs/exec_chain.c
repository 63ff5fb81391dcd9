// Shows a program that replaces itself again and again (first argument: how often), by each form of exec in turn, with its
// signals blocked every third time: no late tick may kill what comes after it. Ends with a list of signals left pending.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
  int left = argc > 1 ? atoi(argv[1]) : 0, pending = 0;
  sigset_t all, set;
  sigfillset(&all);
  if (left == 0) {
    sigpending(&set);
    for (int i = 1; i < 65; ++i) pending += sigismember(&set, i) == 1;
    printf("{\"pending\": %d}\n", pending);
    return 0;
  }
  char number[16];
  snprintf(number, sizeof(number), "%d", left - 1);
  char *arguments[] = {argv[0], number, NULL};
  sigprocmask(left % 3 == 0 ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
  for (volatile int i = 0; i < 300000; ++i) {
  }
  execl("/nonexistent", argv[0], number, (char *)NULL);  // fails, and the program is sampled on
  switch (left % 6) {
    case 0:
      execl(argv[0], argv[0], number, (char *)NULL);
      break;
    case 1:
      execv(argv[0], arguments);
      break;
    case 2:
      execle(argv[0], argv[0], number, (char *)NULL, environ);
      break;
    case 3:
      execvp(argv[0], arguments);
      break;
    case 4:
      execve(argv[0], arguments, environ);
      break;
    default:
      execlp(argv[0], argv[0], number, (char *)NULL);
  }
  return 9;
}
