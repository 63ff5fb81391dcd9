#include "preload/unhooked_calls.h"

#include <dlfcn.h>
#include <link.h>

#include <iterator>

#include "preload/call_slots.h"
#include "preload/program_malloc.h"
#include "preload/real_symbols.h"

namespace prof {
namespace {

constexpr const char* kAllocation[] = {"malloc",   "calloc",         "realloc",       "reallocarray", "free",
                                       "memalign", "posix_memalign", "aligned_alloc", "valloc",       "pvalloc"};
constexpr unsigned kAllocationGroup = 0;
constexpr unsigned kWaitGroup = 1;
// Not the conditions' calls: an object may have been bound to their older form, and a slot does not say so.
constexpr const char* kWaits[] = {"pthread_mutex_lock",
                                  "pthread_mutex_unlock",
                                  "pthread_rwlock_rdlock",
                                  "pthread_rwlock_wrlock",
                                  "pthread_rwlock_unlock",
                                  "pthread_spin_lock",
                                  "sem_wait"};

// Whether what the program finds first under a name is ours: itself, or a stub of the program's that leads on (it has one where it
// takes the function's address; its symbol has a value then, and no section).
bool is_ours(const void* first, const Dl_info& own) {
  Dl_info info = {};
  void* extra = nullptr;
  if (first == nullptr || dladdr1(first, &info, &extra, RTLD_DL_SYMENT) == 0) return false;
  const auto* symbol = static_cast<const ElfW(Sym)*>(extra);
  return info.dli_fbase == own.dli_fbase || (symbol != nullptr && symbol->st_shndx == SHN_UNDEF);
}

struct Calls {
  PassedCall list[std::size(kAllocation) + std::size(kWaits)];
  unsigned count = 0;

  template <size_t size>
  void add(const char* const (&names)[size], const Dl_info& own, unsigned group) {
    for (const char* name : names) {
      if (!is_ours(real::first_definition(name), own)) continue;
      // RTLD_DEFAULT is our own: libprof.so is linked with -Bsymbolic. (Its handle cannot be searched: it was not opened by dlopen.)
      list[count++] = {name, dlsym(RTLD_DEFAULT, name), dlsym(RTLD_NEXT, name), group};
    }
  }
};

}  // namespace

void unhook_calls(bool allocation, bool waits, bool may_return) {
  Dl_info own = {};
  if (dladdr(reinterpret_cast<const void*>(&unhook_calls), &own) == 0) return;
  Calls calls;
  // Else nobody calls ours but whoever was bound otherwise, and that stays.
  if (allocation && program_malloc_reaches_ours()) calls.add(kAllocation, own, kAllocationGroup);
  if (waits) calls.add(kWaits, own, kWaitGroup);
  if (calls.count != 0) point_call_slots_past(calls.list, calls.count, may_return);
}

void hook_allocation_again() { put_back_call_slots(kAllocationGroup); }

void hook_waits_again() { put_back_call_slots(kWaitGroup); }

}  // namespace prof
