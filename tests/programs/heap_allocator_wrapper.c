// Shows a library that stands in front of malloc, as debugging aids do, and hands on to the next one. Preloaded before
// libprof, what it hands on is seen.
// build: -O2 -fomit-frame-pointer -shared -fPIC
#define _GNU_SOURCE
#include <dlfcn.h>

#include "victim.h"

NOT_INLINED void *malloc(size_t size) {
  static void *(*next)(size_t);
  if (!next) next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
  void *block = next(size);
  NOT_A_TAIL_CALL();
  return block;
}

NOT_INLINED void free(void *block) {
  static void (*next)(void *);
  if (!next) next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  next(block);
  NOT_A_TAIL_CALL();
}
