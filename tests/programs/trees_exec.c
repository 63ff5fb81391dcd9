// Executes itself in every way that there is, with an environment that was cleaned, changed or handed on; what is executed burns
// child_work(), prints its environment without what it was given, and ends with 7. Prints a line for each.
// Arguments: WAY [ENVIRONMENT [MILLISECONDS]]. WAY: a name below, or all. ENVIRONMENT: empty, own (A=1 B=2), handed_on, no_preload (LD_PRELOAD unset),
// other_preload, big (3000 entries).
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(child_work, 6364136223846793005u)
BURNER(parent_work, 2862933555777941757u)

extern char **environ;

static const char *self, *folder_of_self;
static char **environment;
static char *words[] = {"trees_exec", "child", "20", NULL};
static char shell_command[4200];

static void exec_execve(void) { execve(self, words, environment); }
static void exec_execle(void) { execle(self, words[0], words[1], words[2], (char *)NULL, environment); }
static void exec_execvpe(void) { execvpe("trees_exec", words, environment); }
static void exec_fexecve(void) { fexecve(open(self, O_RDONLY | O_CLOEXEC), words, environment); }
static void exec_execveat(void) { execveat(AT_FDCWD, self, words, environment, 0); }
static int folder(void) { return open(folder_of_self, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
static void exec_execveat_folder(void) { execveat(folder(), words[0], words, environment, 0); }
static void exec_execveat_either(void) { execveat(folder(), words[0], words, environment, AT_EMPTY_PATH); }
static void exec_execveat_file(void) {
  execveat(open(self, O_PATH | O_CLOEXEC), "", words, environment, AT_EMPTY_PATH);
}
// Those that take environ.
static void exec_execv(void) { environ = environment, execv(self, words); }
static void exec_execvp(void) { environ = environment, execvp(self, words); }
static void exec_execl(void) { environ = environment, execl(self, words[0], words[1], words[2], (char *)NULL); }
static void exec_execlp(void) { environ = environment, execlp(self, words[0], words[1], words[2], (char *)NULL); }

struct way {
  const char *name;
  void (*exec)(void);
};
static const struct way execs[] = {{"execve", exec_execve},
                                   {"execle", exec_execle},
                                   {"execvpe", exec_execvpe},
                                   {"fexecve", exec_fexecve},
                                   {"execveat", exec_execveat},
                                   {"execv", exec_execv},
                                   {"execvp", exec_execvp},
                                   {"execl", exec_execl},
                                   {"execlp", exec_execlp},
                                   {"execveat_folder", exec_execveat_folder},
                                   {"execveat_either", exec_execveat_either},
                                   {"execveat_file", exec_execveat_file}};
enum { kExecs = sizeof execs / sizeof *execs };

static int status_of(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child ? status : -1;
}

static int by_fork(const struct way *way) {
  pid_t child = fork();
  if (child == 0) {
    way->exec();
    _exit(127);
  }
  return status_of(child);
}

static int by_vfork(const struct way *way) {
  char **before = environ;
  pid_t child = vfork();
  if (child == 0) {
    way->exec();
    _exit(127);
  }
  environ = before;
  return status_of(child);
}

static int by_clone(const struct way *way) {
  pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    way->exec();
    _exit(127);
  }
  return status_of(child);
}

static int by_spawn(int in_path) {
  pid_t child;
  int error = in_path ? posix_spawnp(&child, "trees_exec", NULL, NULL, words, environment)
                      : posix_spawn(&child, self, NULL, NULL, words, environment);
  return error != 0 ? -error : status_of(child);
}

static int by_shell(int with_popen) {
  char **before = environ;
  environ = environment;
  int status = -1;
  if (with_popen) {
    FILE *output = popen(shell_command, "r");
    for (int c; output && (c = fgetc(output)) != EOF;) putchar(c);
    if (output) status = pclose(output);
  } else {
    status = system(shell_command);
  }
  if (environ != environment) printf("environ was not given back\n");
  environ = before;
  return status;
}

static void report(const char *name, int status) {
  printf("%s %d\n", name, status == -1 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status);
  fflush(stdout);
}

static int is_wanted(const char *wanted, const char *name) {
  return strcmp(wanted, "all") == 0 || strcmp(wanted, name) == 0;
}

static int child_main(uint64_t ms) {
  child_work(milliseconds(ms));
  for (char **entry = environ; *entry; ++entry)
    if (strncmp(*entry, "PWD=", 4) != 0 && strncmp(*entry, "_=", 2) != 0 && strlen(*entry) < 200 &&
        strncmp(*entry, "LD_PRELOAD=/", 12) != 0 && strncmp(*entry, "PROF_", 5) != 0 && strncmp(*entry, "MANY", 4) != 0)
      printf("  %s\n", *entry);
  fflush(stdout);
  return 7;
}

// What a program may do with its environment: LD_PRELOAD and the settings are the test's affair.
static char **chosen_environment(const char *name) {
  static char *none[] = {NULL};
  static char *own[] = {"A=1", "B=2", NULL};
  static char *other[] = {"A=1", "LD_PRELOAD=", NULL};
  static char *kept[4000];
  static char many[3000][16];
  size_t count = 0;
  if (strcmp(name, "empty") == 0) return none;
  if (strcmp(name, "own") == 0) return own;
  if (strcmp(name, "other_preload") == 0) return other;
  for (char **entry = environ; *entry && count < 900; ++entry)
    if (strcmp(name, "no_preload") != 0 || strncmp(*entry, "LD_PRELOAD=", 11) != 0) kept[count++] = *entry;
  for (size_t i = 0; strcmp(name, "big") == 0 && i < 3000; ++i) {
    snprintf(many[i], sizeof many[i], "MANY%zu=1", i);
    kept[count++] = many[i];
  }
  kept[count] = NULL;
  return kept;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "child") == 0) return child_main((uint64_t)argument(argc, argv, 2, 20));
  static char path[4096], path_folder[4200], ms[20];
  ssize_t bytes = readlink("/proc/self/exe", path, sizeof path - 1);
  if (argc < 2 || bytes <= 0) return 2;
  self = path;
  snprintf(ms, sizeof ms, "%d", (int)argument(argc, argv, 3, 20));
  words[2] = ms;
  snprintf(shell_command, sizeof shell_command, "exec %s child %s", self, ms);
  folder_of_self = strcpy(path_folder, path);
  *strrchr(path_folder, '/') = 0;
  setenv("PATH", folder_of_self, 1);
  environment = chosen_environment(argc > 2 ? argv[2] : "empty");
  parent_work(milliseconds(50));
  for (int i = 0; i < kExecs; ++i) {
    char name[40];
    const struct way *way = &execs[i];
    snprintf(name, sizeof name, "fork_%s", way->name);
    if (is_wanted(argv[1], name)) report(name, by_fork(way));
    snprintf(name, sizeof name, "vfork_%s", way->name);
    if (is_wanted(argv[1], name)) report(name, by_vfork(way));
  }
  if (is_wanted(argv[1], "clone")) report("clone", by_clone(&execs[0]));
  if (is_wanted(argv[1], "posix_spawn")) report("posix_spawn", by_spawn(0));
  if (is_wanted(argv[1], "posix_spawnp")) report("posix_spawnp", by_spawn(1));
  if (is_wanted(argv[1], "system")) report("system", by_shell(0));
  if (is_wanted(argv[1], "popen")) report("popen", by_shell(1));
  if (is_wanted(argv[1], "same_process")) {
    fflush(stdout);
    execve(self, words, environment);
  }
  return 0;
}
