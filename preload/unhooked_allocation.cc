#include "preload/unhooked_allocation.h"

#include <dlfcn.h>

#include "preload/call_slots.h"
#include "preload/real_symbols.h"

namespace prof {
namespace {

constexpr const char* kNames[] = {"malloc",   "calloc",         "realloc",       "reallocarray", "free",
                                  "memalign", "posix_memalign", "aligned_alloc", "valloc",       "pvalloc"};
constexpr unsigned kCount = sizeof(kNames) / sizeof(kNames[0]);

}  // namespace

void unhook_allocation() {
  // Ours, if it is the first in the program's order: else nobody calls it but whoever was bound otherwise, and that stays.
  Dl_info own = {};
  Dl_info first = {};
  if (dladdr(reinterpret_cast<const void*>(&unhook_allocation), &own) == 0) return;
  PassedCall calls[kCount];
  unsigned count = 0;
  for (const char* name : kNames) {
    const void* ours = real::first_definition(name);
    if (ours == nullptr || dladdr(ours, &first) == 0 || first.dli_fbase != own.dli_fbase) continue;
    calls[count++] = {name, ours, dlsym(RTLD_NEXT, name)};
  }
  point_call_slots_past(calls, count);
}

}  // namespace prof
