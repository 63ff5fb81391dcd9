// Children that end while they end: each arms a timer, works, and calls exit(); the timer's handler calls _exit, or kills it,
// some milliseconds later for each child, so that it comes before, amid or after what a preloaded library does at exit. Prints how many ended
// in one of these ways; status 1 where they are not all.
//   ends_amid_exit CHILDREN [kill]
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(work_child, 6364136223846793005u)

#define STEP_US 300

static int kills = 0;

static void on_alarm(int number) {
  (void)number;
  if (kills) kill(getpid(), SIGKILL);
  _exit(3);
}

int main(int argc, char **argv) {
  const int children = argc > 1 ? atoi(argv[1]) : 40;
  kills = argc > 2;
  signal(SIGALRM, on_alarm);
  int ended = 0;
  for (int i = 0; i < children; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      work_child(milliseconds(20));
      const struct itimerval once = {{0, 0}, {0, 1 + i * STEP_US}};
      setitimer(ITIMER_REAL, &once, NULL);
      exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ended += WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3;
  }
  printf("%d\n", ended);
  return ended == children ? 0 : 1;
}
