// What loader_dlopen loads: it allocates, locks, works.
// build: -shared -fPIC
#include <pthread.h>
#include <stdlib.h>

#include "victim.h"

BURNER(plugin_works, 2862933555777941757u)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int plugin_counts(int most) {
  int found = 0;
  for (int i = 0; i < most; ++i) {
    char* block = malloc((size_t)i + 1);
    pthread_mutex_lock(&lock);
    found += block != NULL;
    pthread_mutex_unlock(&lock);
    free(block);
  }
  plugin_works(2000000);
  return found;
}
