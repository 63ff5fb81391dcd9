// dlclose: what it unloads is noted, so that samples in it keep their names, and its unwind rules are forgotten. Normal code.

#include "preload/modules.h"
#include "preload/real_symbols.h"

extern "C" __attribute__((visibility("default"))) int dlclose(void* handle) {
  const prof::ModulesAroundUnload around;
  return prof::real::dlclose()(handle);
}
