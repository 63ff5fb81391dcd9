// Shows the ways to start another program: vfork and exec, posix_spawn, system, popen. Each runs the program and
// argument given, while the parent burns spawner_work(). Prints what they answered.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(spawner_work, 6364136223846793005u)

extern char **environ;

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  char command[1000], line[200] = "";
  int status[4];
  snprintf(command, sizeof command, "%s %s 4", argv[1], argv[2]);
  char *words[] = {argv[1], argv[2], (char *)"4", NULL};
  int quiet[2];
  if (pipe(quiet) != 0) return 2;

  uint64_t burned = spawner_work(milliseconds(300));
  pid_t child = vfork();
  if (child == 0) {
    dup2(quiet[1], 1);
    execv(argv[1], words);
    _exit(127);
  }
  waitpid(child, &status[0], 0);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, quiet[1], 1);
  pid_t spawned;
  if (posix_spawn(&spawned, argv[1], &actions, NULL, words, environ) != 0) return 2;
  waitpid(spawned, &status[1], 0);

  char redirected[1100];
  snprintf(redirected, sizeof redirected, "%s >&%d", command, quiet[1]);
  status[2] = system(redirected);

  FILE *output = popen(command, "r");
  if (!output || !fgets(line, sizeof line, output)) return 2;
  status[3] = pclose(output);
  burned += spawner_work(milliseconds(300));
  printf("{\"vforked\": %d, \"spawned\": %d, \"status\": [%d, %d, %d, %d], \"answered\": %d, \"spawner_work\": %llu}\n",
         (int)child, (int)spawned, WEXITSTATUS(status[0]), WEXITSTATUS(status[1]), WEXITSTATUS(status[2]),
         WEXITSTATUS(status[3]), strstr(line, "steady_work") != NULL, (unsigned long long)burned);
}
