// Shows the plugin of heap_allocator_deepbind.
// build: -O2 -fomit-frame-pointer -shared -fPIC
#include "victim.h"

void *plugin_takes(size_t size);
void *plugin_grows(void *block, size_t size);
void plugin_gives_back(void *block);

NOT_INLINED void *plugin_takes(size_t size) {
  void *block = malloc(size);
  NOT_A_TAIL_CALL();
  return block;
}

NOT_INLINED void *plugin_grows(void *block, size_t size) {
  void *larger = realloc(block, size);
  NOT_A_TAIL_CALL();
  return larger;
}

NOT_INLINED void plugin_gives_back(void *block) {
  free(block);
  NOT_A_TAIL_CALL();
}
