// A thread that is made with SIGPROF blocked (by name, or along with all other signals) is sent it, and goes on; and what one executes has it
// blocked. Arguments: named or all; changes, to have one show and change its mask.
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

static void show_mask(const char *what) {
  sigset_t now;
  unsigned long word;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  memcpy(&word, &now, sizeof(word));
  printf("%s: %lx\n", what, word);
  fflush(stdout);
}

static void *shows(void *unused) {
  show_mask("in a thread of that thread");
  return unused;
}

static const char *const reads_mask[] = {"grep", "SigBlk", "/proc/self/status", NULL};

static void children_unblock(void) {
  const sigset_t none = {0};
  for (volatile int i = 0; i < 2; ++i) {
    const pid_t child = i == 0 ? fork() : vfork();
    if (child == 0) {
      sigprocmask(SIG_SETMASK, &none, NULL);
      execvp(reads_mask[0], (char *const *)reads_mask);
    }
    waitpid(child, NULL, 0);
  }
}

// Its own mask, as it sees and changes it.
static void *changes(void *unused) {
  sigset_t all, before, one;
  pthread_t thread;
  sigfillset(&all);
  show_mask("as made");
  pthread_create(&thread, NULL, shows, NULL);
  pthread_join(thread, NULL);
  sigprocmask(SIG_SETMASK, &all, &before);
  show_mask("all");
  sigprocmask(SIG_SETMASK, &before, NULL);
  show_mask("as before");
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  show_mask("less one");
  children_unblock();
  show_mask("beside children");
  executes(unused);
  sigaddset(&one, SIGPROF);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  show_mask("less two");
  executes(unused);
  beside_work(milliseconds(100));
  sigprocmask(SIG_SETMASK, &before, NULL);
  show_mask("all again");
  executes(unused);
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
  if (argc > 2) {
    pthread_t third;
    pthread_join(thread, NULL);
    pthread_create(&third, NULL, changes, NULL);
    pthread_join(third, NULL);
  }
  for (int i = 0; i < 3 && argc < 3; ++i) {
    usleep(10000);
    pthread_kill(other, SIGPROF);
  }
  if (argc < 3) pthread_join(thread, NULL);
  pthread_join(other, NULL);
  puts("both have ended");
  return 0;
}
