// A stack 100 000 frames deep that burns CPU at its bottom.
// build: -fno-optimize-sibling-calls
#include <pthread.h>
#include <stdio.h>

#include "burn.h"

__attribute__((noinline)) int descend(int depth) {
  if (depth == 0) {
    BURN(0.5);
    return 0;
  }
  return descend(depth - 1) + 1;
}

static void* run(void* unused) {
  (void)unused;
  printf("%d\n", descend(100000));
  return NULL;
}

int main(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 20);
  pthread_create(&thread, &attributes, run, NULL);
  pthread_join(thread, NULL);
  return 0;
}
