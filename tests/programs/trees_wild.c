// Executes something with pointers that lead nowhere, as a path, as arguments and as an environment, in every way that has them, and prints
// what it is answered: EFAULT, where the C library does not look there itself. Then with environments that end where memory does, which
// are right; what is executed with those prints what it was given.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

extern char **environ;

static char *const none[] = {NULL};
static char *words[] = {(char *)"trees_wild", (char *)"child", NULL};
static char *self = (char *)"/proc/self/exe";

// The end of a page behind which there is none.
static char *end_of_memory(void) {
  char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory + PAGE, PAGE, PROT_NONE) != 0) exit(9);
  return memory + PAGE;
}

static void answered(const char *what, const char *by, int result) {
  printf("%s, %s: %d %s\n", what, by, result, result == 0 ? "" : strerrorname_np(result == -1 ? errno : result));
  fflush(stdout);
}

// Those that return have failed.
static void in_child(const char *what, const char *by, int way, char *path, char *const *arguments,
                     char **environment) {
  fflush(stdout);
  const pid_t child = way == 4 ? vfork() : fork();
  if (child == 0) {
    int result = -1;
    if (way == 0 || way == 4) result = execve(path, arguments, environment);
    if (way == 1) result = fexecve(open(self, O_RDONLY | O_CLOEXEC), arguments, environment);
    if (way == 2) result = execveat(AT_FDCWD, path, arguments, environment, 0);
    if (way == 3) result = execle(path, words[0], words[1], (char *)NULL, environment);
    if (way == 5) environ = environment, result = execv(path, arguments);
    _exit(result == -1 && errno == EFAULT ? 14 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  printf("%s, %s: %x\n", what, by, (unsigned)status);
  fflush(stdout);
}

static const char *const ways[] = {"execve", "fexecve", "execveat", "execle", "execve after vfork", "execv"};
enum { kWays = sizeof ways / sizeof *ways };

static void with_environment(const char *what, char **environment) {
  for (int way = 0; way < kWays; ++way) in_child(what, ways[way], way, self, words, environment);
  pid_t child;
  int result = posix_spawn(&child, self, NULL, NULL, words, environment);
  if (result == 0) waitpid(child, NULL, 0);
  answered(what, "posix_spawn", result);
  result = posix_spawnp(&child, self, NULL, NULL, words, environment);
  if (result == 0) waitpid(child, NULL, 0);
  answered(what, "posix_spawnp", result);
  char **const before = environ;
  environ = environment;
  result = system("echo by system");
  environ = before;
  answered(what, "system", result);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "child") == 0) {
    const char *text = getenv("LAST");
    printf("  LAST=%s\n", text == NULL ? "(none)" : text);
    return 7;
  }
  (void)argv;
  char **nowhere = (char **)8;
  char **beyond = (char **)0x8000000000000000u;
  char *wild_entry[] = {(char *)"A=1", (char *)nowhere, NULL};
  char **without_end = (char **)end_of_memory() - 2;
  without_end[0] = without_end[1] = (char *)"A=1";
  char *text = end_of_memory() - 6;
  memcpy(text, "NOT_EN", 6);
  char *endless_text[] = {text, NULL};
  for (int way = 0; way < 3; ++way) {
    if (way != 1) in_child("no path", ways[way], way, (char *)nowhere, words, (char **)none);
    in_child("no arguments", ways[way], way, self, (char *const *)nowhere, (char **)none);
  }
  with_environment("nowhere", nowhere);
  with_environment("beyond every address", beyond);
  with_environment("a wild entry", wild_entry);
  with_environment("an array without end", without_end);
  with_environment("a text without end", endless_text);
  // Right ones, up to the last byte.
  char **array = (char **)end_of_memory() - 2;
  text = end_of_memory() - 7;
  array[0] = memcpy(text, "LAST=1", 7);
  array[1] = NULL;
  with_environment("at the end of memory", array);
  char *bytes = end_of_memory() - sizeof(char *) * 2 - 3;
  memcpy(bytes, array, sizeof(char *) * 2);
  with_environment("at an odd address", (char **)(void *)bytes);
  with_environment("none", NULL);
  return 0;
}
