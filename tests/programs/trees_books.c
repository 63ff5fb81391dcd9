// A tree of processes that keep books of their own: how each came to be, how much it allocated in books_allocate() and how long it
// computed in books_compute(), a line of JSON each. Children are made by fork, vfork and exec, posix_spawn, and by a double fork whose
// first child ends at once; the program waits for all of them by a pipe that they hold.
// Arguments: [DEPTH [WIDTH [MILLISECONDS]]]
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(books_compute, 6364136223846793005u)

extern char **environ;

enum { kMostChildren = 64 };

static int depth, width, ms;
static char *self;

NOT_INLINED void *books_allocate(size_t bytes) {
  void *block = malloc(bytes);
  NOT_A_TAIL_CALL();
  return block;
}

// Half of the blocks stay.
static void keep_books(const char *how) {
  uint64_t bytes = 0, state = (uint64_t)getpid();
  int count = 10 + (int)(next_number(&state) % 50);
  for (int i = 0; i < count; ++i) {
    size_t size = 100 + next_number(&state) % 5000;
    void *block = books_allocate(size);
    bytes += size;
    if (i % 2) free(block);
  }
  uint64_t computed = books_compute(milliseconds((uint64_t)ms));
  char line[300];
  int length =
      snprintf(line, sizeof line, "{\"pid\": %d, \"how\": \"%s\", \"bytes\": %llu, \"blocks\": %d, \"ns\": %llu}\n",
               (int)getpid(), how, (unsigned long long)bytes, count, (unsigned long long)computed);
  if (write(1, line, (size_t)length) != length) exit(3);
}

static int live(const char *how, int levels);

static char **words_for(const char *how, int levels) {
  static char texts[4][20], name[40];
  static char *words[7];
  snprintf(texts[0], sizeof texts[0], "%d", levels);
  snprintf(texts[1], sizeof texts[1], "%d", width);
  snprintf(texts[2], sizeof texts[2], "%d", ms);
  snprintf(name, sizeof name, "%s", how);
  words[0] = self, words[1] = texts[0], words[2] = texts[1], words[3] = texts[2], words[4] = name;
  return words;
}

static pid_t begin_child(int number, int levels) {
  pid_t child = -1;
  switch (number % 4) {
    case 0:
      if ((child = fork()) == 0) exit(live("fork", levels));
      return child;
    case 1: {
      char **words = words_for("vfork", levels);
      if ((child = vfork()) == 0) {
        execv("/proc/self/exe", words);
        _exit(127);
      }
      return child;
    }
    case 2: {
      char path[4096];
      ssize_t bytes = readlink("/proc/self/exe", path, sizeof path - 1);
      path[bytes < 0 ? 0 : bytes] = 0;
      return posix_spawn(&child, path, NULL, NULL, words_for("spawn", levels), environ) == 0 ? child : -1;
    }
    default:
      if ((child = fork()) == 0) {
        if (fork() == 0) {
          setsid();
          exit(live("daemon", levels));
        }
        _exit(0);
      }
      return child;
  }
}

static int live(const char *how, int levels) {
  pid_t children[kMostChildren];
  int failed = 0;
  keep_books(how);
  for (int i = 0; levels > 0 && i < width; ++i) children[i] = begin_child(i, levels - 1);
  for (int i = 0; levels > 0 && i < width; ++i) {
    int status = -1;
    if (children[i] < 0 || waitpid(children[i], &status, 0) != children[i] || status != 0) failed = 4;
  }
  return failed;
}

int main(int argc, char **argv) {
  self = argv[0];
  depth = (int)argument(argc, argv, 1, 1);
  width = (int)argument(argc, argv, 2, 4);
  ms = (int)argument(argc, argv, 3, 20);
  if (width > kMostChildren) return 2;
  if (argc > 4) return live(argv[4], depth);
  int held[2];
  if (pipe(held) != 0) return 2;
  int result = live("main", depth);
  // Daemons have ended when nobody holds it any more.
  close(held[1]);
  char end;
  while (read(held[0], &end, 1) > 0) {
  }
  return result;
}
