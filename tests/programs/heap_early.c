// Shows a library that allocates in its constructor, in its exit handler and in its destructor; preloaded, it may
// well be there before libprof and after it. early_hand_over() gives the program what the constructor allocated.
// Each stage writes a line; nothing of stdio. EARLY_SIGNAL: the number of a signal that the constructor handles.
// build: -O2 -fomit-frame-pointer -shared -fPIC
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "heap_books.h"

enum { kBlocks = 200 };
static char *early[kBlocks], *late[kBlocks];

static void says(const char *text) {
  if (write(1, text, strlen(text)) < 0) abort();
}

ALLOCATES(early_allocates, malloc(size))
ALLOCATES(early_reallocates, realloc(early[0], size))
ALLOCATES(early_allocates_zeroed, calloc(size, 1))

static void fill(char **blocks) {
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i] = i % 3 ? early_allocates(1 + (size_t)i * 7) : early_allocates_zeroed(1 + (size_t)i * 7);
    memset(blocks[i], 1 + i % 100, 1 + (size_t)i * 7);
  }
}

static int intact(char **blocks) {
  for (int i = 0; i < kBlocks; ++i)
    for (int j = 0; blocks[i] && j < 1 + i * 7; ++j)
      if (blocks[i][j] != 1 + i % 100) return 0;
  return 1;
}

static void let_go(char **blocks, int from, int step) {
  for (int i = from; i < kBlocks; i += step) {
    if (i % 7 == 0) blocks[i] = realloc(blocks[i], 5000);
    free(blocks[i]);
    blocks[i] = NULL;
  }
}

static int signals;
static void on_signal(int number) { signals += number != 0; }
PLAIN_NAME int early_signals(void) { return signals; }

static void at_exit(void) {
  says(intact(early) && intact(late) ? "library: exit handler, intact\n" : "library: exit handler, BROKEN\n");
  let_go(late, 0, 3);
}

__attribute__((constructor)) static void early_construct(void) {
  errno = 0;
  fill(early);
  early[0] = early_reallocates(1);
  let_go(early, 1, 4);
  says(errno == 0 && intact(early) ? "library: constructed\n" : "library: constructor BROKEN\n");
  atexit(at_exit);
  if (getenv("EARLY_SIGNAL")) signal(atoi(getenv("EARLY_SIGNAL")), on_signal);
}

__attribute__((destructor)) static void destruct(void) {
  says(intact(early) && intact(late) ? "library: destructor, intact\n" : "library: destructor, BROKEN\n");
  let_go(early, 0, 1);
  let_go(late, 0, 1);
  fill(late);
  says(intact(late) ? "library: destructor, filled again\n" : "library: destructor BROKEN\n");
  let_go(late, 0, 2);
}

// Half of the constructor's blocks, which the program frees; and new ones.
PLAIN_NAME int early_hand_over(void **blocks, int most) {
  int count = 0;
  for (int i = 0; i < kBlocks && count < most; i += 2) {
    if (!early[i]) continue;
    blocks[count++] = early[i];
    early[i] = NULL;
  }
  fill(late);
  return count;
}
