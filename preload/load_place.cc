#include "preload/load_place.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstdint>
#include <initializer_list>

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));  // of libprof.so itself, by the linker

namespace prof {
namespace {

// (Not by dladdr, which goes through all symbols: 0.1 ms.)
link_map* map_of(const void* address) {
  struct dl_find_object found = {};
  return _dl_find_object(const_cast<void*>(address), &found) == 0 ? found.dlfo_link_map : nullptr;
}

// By names that all of them have together, and no other library: whose they are, in the order in which the loader looks for the program.
// (RTLD_DEFAULT is the caller's order, and that of this library begins with itself.)
link_map* first_libprof() {
  void* const program = dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD);
  if (program == nullptr) return nullptr;
  link_map* first = nullptr;
  for (const char* name : {"prof_version", "prof_start_cpu_fd", "prof_label_leave"}) {
    link_map* const owner = map_of(dlsym(program, name));
    if (owner == nullptr || (first != nullptr && owner != first)) return nullptr;
    first = owner;
  }
  return first;
}

}  // namespace

const char* file_of_libprof_before() {
  const link_map* const first = first_libprof();
  return first == nullptr || first == map_of(__ehdr_start) ? nullptr : first->l_name;
}

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
