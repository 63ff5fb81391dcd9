// A thread that is made with SIGPROF blocked (by name, or along with all other signals) is sent it, and goes on; and what one executes has it
// blocked. Argument: named, all.
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

BURNER(beside_work, 6364136223846793005u)

static int is_named;

// What it executes has the mask that it was made with.
static void *executes(void *unused) {
  char *const reads[] = {"grep", "SigBlk", "/proc/self/status", NULL};
  for (volatile int i = 0; i < 3; ++i) {
    pid_t child;
    if (i == 2) {
      posix_spawnp(&child, reads[0], NULL, NULL, reads, environ);
    } else {
      child = i == 0 ? fork() : vfork();
      if (child == 0) {
        execvp("a program that is not there", reads);
        execvp(reads[0], reads);
      }
    }
    waitpid(child, NULL, 0);
  }
  return unused;
}

static void *works(void *unused) {
  beside_work(milliseconds(100));
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread, other;
  sigset_t set;
  is_named = argc > 1 && strcmp(argv[1], "named") == 0;
  sigfillset(&set);
  if (is_named) {
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
  }
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (pthread_create(&thread, NULL, executes, NULL) != 0 || pthread_create(&other, NULL, works, NULL) != 0) return 3;
  for (int i = 0; i < 3; ++i) {
    usleep(10000);
    pthread_kill(other, SIGPROF);
  }
  pthread_join(thread, NULL);
  pthread_join(other, NULL);
  puts("both have ended");
  return 0;
}
