// Shows a fork while another thread runs: the child burns child_work(), the parent's threads parent_work() and
// other_work(). Then 200 children that only exit. Argument: CPU seconds of each.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(parent_work, 6364136223846793005u)
BURNER(other_work, 2862933555777941757u)
BURNER(child_work, 3202034522624059733u)

static uint64_t wanted_ns, other_ns;

static void *other_thread(void *unused) {
  other_ns = other_work(wanted_ns);
  return unused;
}

int main(int argc, char **argv) {
  pthread_t id;
  wanted_ns = seconds(argument(argc, argv, 1, 1));
  pthread_create(&id, NULL, other_thread, NULL);
  uint64_t parent_ns = parent_work(wanted_ns / 2);
  pid_t child = fork();
  if (child == 0) {
    child_work(wanted_ns);
    exit(5);
  }
  parent_ns += parent_work(wanted_ns / 2);
  int status, exited = 0;
  waitpid(child, &status, 0);
  for (int i = 0; i < 200; ++i) {
    int brief;
    pid_t pid = fork();
    if (pid == 0) exit(0);
    waitpid(pid, &brief, 0);
    exited += WIFEXITED(brief) && WEXITSTATUS(brief) == 0;
  }
  pthread_join(id, NULL);
  printf("{\"child\": %d, \"status\": %d, \"exited\": %d, \"parent_work\": %llu, \"other_work\": %llu}\n", (int)child,
         WIFEXITED(status) ? WEXITSTATUS(status) : -1, exited, (unsigned long long)parent_ns,
         (unsigned long long)other_ns);
}
