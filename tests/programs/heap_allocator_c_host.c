// Shows a C program that loads C++ plugins into scopes of their own: no C++ library is in the global one, and operator new is found
// only in the plugin's. Arguments: what a plugin shall do, how often it is loaded, called and unloaded, and their paths, one
// or several, loaded beside each other.
// build: -O2 -fomit-frame-pointer -fexceptions
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "heap_books.h"

// The plugins' exceptions pass through this frame.
PLAIN_NAME NOT_INLINED void host_calls_back(void (*function)(int), int argument) {
  function(argument);
  NOT_A_TAIL_CALL();
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  for (int round = 0; round < atoi(argv[2]); ++round) {
    void *libraries[8];
    int count = 0;
    for (int i = 3; i < argc && count < 8; ++i) {
      void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
      if (!library) {
        printf("%s\n", dlerror());
        return 2;
      }
      libraries[count++] = library;
      int (*const works)(const char *, void (*)(void (*)(int), int)) =
          (int (*)(const char *, void (*)(void (*)(int), int)))dlsym(library, "plugin_works");
      if (!works || works(argv[1], host_calls_back) != 0) return 3;
      fflush(stdout);
    }
    while (count > 0)
      if (dlclose(libraries[--count]) != 0) return 4;
  }
  printf("{\"done\": 1}\n");
}
