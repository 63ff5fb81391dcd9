// Calls of libprof's own to functions that a library in front of it may interpose (libfaketime the clock, libtsan the locks): they are linked
// to these (wrapped.txt), and pass it by. What is in front has seen the program's own call already, and knows nothing of libprof's threads.

#include "preload/private_calls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <atomic>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

using ClockGettime = int (*)(clockid_t, struct timespec*);
std::atomic<ClockGettime> g_clock_gettime{nullptr};

// Behind libprof; normal code.
template <typename Function>
Function behind(std::atomic<Function>* kept, const char* name) {
  Function function = kept->load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
    kept->store(function, std::memory_order_relaxed);
  }
  return function;
}

}  // namespace

void private_calls_start() {
  void* const library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return;
  g_clock_gettime.store(reinterpret_cast<ClockGettime>(dlsym(library, "clock_gettime")), std::memory_order_relaxed);
  dlclose(library);
}

}  // namespace prof

#define PROF_BEHIND(name, type, argument)                       \
  int __wrap_##name(type argument) {                            \
    static std::atomic<int (*)(type)> kept{nullptr};            \
    return prof::behind<int (*)(type)>(&kept, #name)(argument); \
  }

extern "C" {

int __wrap_clock_gettime(clockid_t clock, struct timespec* now) {
  const auto function = prof::g_clock_gettime.load(std::memory_order_relaxed);
  if (function != nullptr) return function(clock, now);
  return prof::raw_syscall(SYS_clock_gettime, clock, now) == 0 ? 0 : -1;
}

PROF_BEHIND(pthread_mutex_trylock, pthread_mutex_t*, mutex)
PROF_BEHIND(pthread_rwlock_tryrdlock, pthread_rwlock_t*, lock)
PROF_BEHIND(pthread_rwlock_trywrlock, pthread_rwlock_t*, lock)
PROF_BEHIND(pthread_spin_trylock, pthread_spinlock_t*, lock)

int __wrap_pthread_tryjoin_np(pthread_t thread, void** result) {
  static std::atomic<int (*)(pthread_t, void**)> kept{nullptr};
  return prof::behind<int (*)(pthread_t, void**)>(&kept, "pthread_tryjoin_np")(thread, result);
}

}  // extern "C"
