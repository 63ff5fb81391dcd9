// Loads what it is told to, and calls it where it can be called.
//   loader_dlopen FLAGS FILE…   FLAGS: l local, g global, d deep binding, n a namespace of its own; c closes again, 2 does all of it twice,
//                               r 300 times
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "victim.h"

BURNER(main_works, 3202034522624059733u)

static void* thread_works(void* nothing) {
  free(malloc(100));
  main_works(20000000);
  return nothing;
}

static int use(const char* flags, const char* file) {
  const int how = RTLD_NOW | (strchr(flags, 'g') ? RTLD_GLOBAL : 0) | (strchr(flags, 'd') ? RTLD_DEEPBIND : 0);
  void* handle = strchr(flags, 'n') ? dlmopen(LM_ID_NEWLM, file, how) : dlopen(file, how);
  if (handle == NULL) {
    puts(dlerror());
    return -1;
  }
  int (*counts)(int) = (int (*)(int))dlsym(handle, "plugin_counts");
  const int found = counts ? counts(1000) : 0;
  if (strchr(flags, 'c') && dlclose(handle) != 0) puts(dlerror());
  return found;
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const char* flags = arguments[1];
  const int rounds = strchr(flags, 'r') ? 300 : strchr(flags, '2') ? 2 : 1;
  long found = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 2; i < count; ++i) found += use(flags, arguments[i]);
  }
  pthread_t thread;
  pthread_create(&thread, NULL, thread_works, NULL);
  main_works(50000000);
  pthread_join(thread, NULL);
  printf("found %ld, %s\n", found, dlerror() ? "an error" : "no error");
  return 0;
}
