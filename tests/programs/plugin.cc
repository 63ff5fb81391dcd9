// Shows a library that is loaded and unloaded again: it burns CPU, and throws through its own frames.
// build: -O2 -fomit-frame-pointer -shared -fPIC
#include "victim.h"

BURNER(plugin_work, 4354685564936845355u)

PLAIN_NAME NOT_INLINED void plugin_throws(int depth) {
  if (depth == 0) throw 42;
  plugin_throws(depth - 1);
  NOT_A_TAIL_CALL();
}

PLAIN_NAME int plugin_entry() {
  plugin_work(milliseconds(2));
  try {
    plugin_throws(10);
  } catch (int value) {
    return value;
  }
  return 0;
}
