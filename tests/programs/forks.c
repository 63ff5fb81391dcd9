// Forks while a thread runs; parent and child burn in functions of their own. Also vfork, system and popen.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "burn.h"

__attribute__((noinline)) void parent_work(void) { BURN(0.5); }
__attribute__((noinline)) void child_work(void) { BURN(0.5); }
static void* thread_work(void* unused) { parent_work(); return unused; }

int main(void) {
  pthread_t thread;
  int status = 0;
  pthread_create(&thread, NULL, thread_work, NULL);
  const pid_t child = fork();
  if (child == 0) {
    child_work();
    exit(3);
  }
  parent_work();
  waitpid(child, &status, 0);
  printf("child %d %d\n", (int)child, WEXITSTATUS(status));
  const pid_t vchild = vfork();
  if (vchild == 0) _exit(4);
  waitpid(vchild, &status, 0);
  fflush(stdout);
  char line[32] = "";
  FILE* pipe = popen("echo popen", "r");
  if (fgets(line, sizeof(line), pipe) == NULL) return 1;
  pclose(pipe);
  printf("vfork %d system %d %s", WEXITSTATUS(status), WEXITSTATUS(system("exit 5")), line);
  pthread_join(thread, NULL);
  return 0;
}
