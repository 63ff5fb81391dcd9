#include "preload/real_symbols.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/base/raw_log.h"

namespace prof::real {
namespace {

// The form that exports.map stands for; dlsym could answer an older one. Null: there is one form only.
const char* version_of(const char* name) {
  static constexpr struct {
    const char* name;
    const char* version;
  } kVersions[] = {{"pthread_cond_wait", "GLIBC_2.3.2"},   {"pthread_cond_timedwait", "GLIBC_2.3.2"},
                   {"pthread_cond_signal", "GLIBC_2.3.2"}, {"pthread_cond_broadcast", "GLIBC_2.3.2"},
                   {"posix_spawn", "GLIBC_2.15"},          {"posix_spawnp", "GLIBC_2.15"}};
  for (const auto& known : kVersions) {
    if (strcmp(name, known.name) == 0) return known.version;
  }
  return nullptr;
}

void* next_definition(const char* name) {
  // Never a look-up that fails: what dlerror() keeps of it would be freed in the next one, by a free() that may look itself up.
  const char* const version = version_of(name);
  void* const found = version != nullptr ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
  if (found != nullptr) return found;
  // The host asked for a function that nobody else defines: it could not have been linked without us.
  LogLine(LogLevel::error) << "no definition of " << name << " behind libprof.so";
  ::abort();
}

}  // namespace

#define PROF_DEFINE(result, name, parameters)                        \
  result(*name()) parameters {                                       \
    using Function = result(*) parameters;                           \
    static std::atomic<Function> real{nullptr};                      \
    Function function = real.load(std::memory_order_relaxed);        \
    if (function == nullptr) {                                       \
      function = reinterpret_cast<Function>(next_definition(#name)); \
      real.store(function, std::memory_order_relaxed);               \
    }                                                                \
    return function;                                                 \
  }
PROF_HOOKED_FUNCTIONS(PROF_DEFINE)
#undef PROF_DEFINE

void find_all() {
#define PROF_FIND(result, name, parameters) name();
  PROF_HOOKED_FUNCTIONS(PROF_FIND)
#undef PROF_FIND
}

void* first_definition(const char* name) {
  static void* const program = dlopen(nullptr, RTLD_LAZY);
  void* const found = program == nullptr ? nullptr : dlsym(program, name);
  if (found == nullptr) dlerror();  // the program has asked for nothing
  return found;
}

}  // namespace prof::real
