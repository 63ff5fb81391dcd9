#include "preload/unhooked_allocation.h"

#include <dlfcn.h>
#include <link.h>

#include "preload/call_slots.h"
#include "preload/program_malloc.h"
#include "preload/real_symbols.h"

namespace prof {
namespace {

constexpr const char* kNames[] = {"malloc",   "calloc",         "realloc",       "reallocarray", "free",
                                  "memalign", "posix_memalign", "aligned_alloc", "valloc",       "pvalloc"};
constexpr unsigned kCount = sizeof(kNames) / sizeof(kNames[0]);

// Whether what the program finds first under a name is ours: itself, or a stub of the program's that leads on (it has one where it
// takes the function's address; its symbol has a value then, and no section).
bool is_ours(const void* first, const Dl_info& own) {
  Dl_info info = {};
  void* extra = nullptr;
  if (first == nullptr || dladdr1(first, &info, &extra, RTLD_DL_SYMENT) == 0) return false;
  const auto* symbol = static_cast<const ElfW(Sym)*>(extra);
  return info.dli_fbase == own.dli_fbase || (symbol != nullptr && symbol->st_shndx == SHN_UNDEF);
}

}  // namespace

void unhook_allocation() {
  Dl_info own = {};
  if (dladdr(reinterpret_cast<const void*>(&unhook_allocation), &own) == 0) return;
  // Else nobody calls ours but whoever was bound otherwise, and that stays.
  if (!program_malloc_reaches_ours()) return;
  PassedCall calls[kCount];
  unsigned count = 0;
  for (const char* name : kNames) {
    if (!is_ours(real::first_definition(name), own)) continue;
    // RTLD_DEFAULT is our own: libprof.so is linked with -Bsymbolic. (Its handle cannot be searched: it was not opened by dlopen.)
    calls[count++] = {name, dlsym(RTLD_DEFAULT, name), dlsym(RTLD_NEXT, name)};
  }
  point_call_slots_past(calls, count);
}

}  // namespace prof
