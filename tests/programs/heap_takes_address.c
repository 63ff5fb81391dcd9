// Shows a program that takes malloc's address where it is linked to a fixed place: it then has a stub of that name which the loader
// finds first, and which leads on.
// build: -O2 -no-pie -fno-pie
#include <stdio.h>
#include <stdlib.h>

#include "victim.h"

static volatile struct {
  void *(*allocate)(size_t);
  void (*release)(void *);
} calls = {malloc, free};

NOT_INLINED void *by_address(size_t size) {
  void *block = calls.allocate(size);
  NOT_A_TAIL_CALL();
  return block;
}

NOT_INLINED void *by_name(size_t size) {
  void *block = malloc(size);
  NOT_A_TAIL_CALL();
  return block;
}

int main(void) {
  int same = calls.allocate == malloc;
  for (int i = 0; i < 100; ++i) {
    void *first = by_address(1000), *second = by_name(500);
    if (i % 2) calls.release(first);
    if (i % 4) free(second);
  }
  printf("{\"same\": %d}\n", same);
}
