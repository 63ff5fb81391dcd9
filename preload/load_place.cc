#include "preload/load_place.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstdint>

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));  // of libprof.so itself, by the linker

namespace prof {
namespace {

// (Not by dladdr, which goes through all symbols: 0.1 ms.)
link_map* map_of(const void* address) {
  struct dl_find_object found = {};
  return _dl_find_object(const_cast<void*>(address), &found) == 0 ? found.dlfo_link_map : nullptr;
}

}  // namespace

bool has_namespace_of_its_own() {
  Lmid_t space = LM_ID_BASE;
  return dlinfo(map_of(__ehdr_start), RTLD_DI_LMID, &space) == 0 && space != LM_ID_BASE;
}

bool stands_behind_c_library() {
  const link_map* const library = map_of(reinterpret_cast<const void*>(&getauxval));
  if (library == nullptr) return false;
  for (const link_map* map = map_of(__ehdr_start); map != nullptr; map = map->l_next) {
    if (map == library) return false;
  }
  return true;
}

}  // namespace prof
