// Calls of libprof's own to functions that a library in front of it may interpose (libfaketime the clock, libtsan the locks): they are linked
// to these (wrapped.txt), and pass it by. What is in front has seen the program's own call already, and knows nothing of libprof's threads.

#include "preload/private_calls.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <time.h>

#include <atomic>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

using ClockGettime = int (*)(clockid_t, struct timespec*);
std::atomic<ClockGettime> g_clock_gettime{nullptr};
std::atomic<int (*)(pthread_t, void**)> g_tryjoin{nullptr};

template <typename Function>
void find_behind(std::atomic<Function>* kept, const char* name) {
  kept->store(reinterpret_cast<Function>(dlsym(RTLD_NEXT, name)), std::memory_order_relaxed);
}

// Looked up at the start, since it may take the loader's lock; who is earlier looks himself.
template <typename Function>
Function behind(std::atomic<Function>* kept, const char* name) {
  if (kept->load(std::memory_order_relaxed) == nullptr) find_behind(kept, name);
  return kept->load(std::memory_order_relaxed);
}

#define PROF_LOCKS(LOCK)                            \
  LOCK(pthread_mutex_trylock, pthread_mutex_t*)     \
  LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t*) \
  LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t*) \
  LOCK(pthread_spin_trylock, pthread_spinlock_t*)
#define PROF_KEPT(name, type) std::atomic<int (*)(type)> g_##name{nullptr};
PROF_LOCKS(PROF_KEPT)

// (Not by dladdr, which goes through all symbols: 0.1 ms.)
bool is_in_c_library(const void* address) {
  struct dl_find_object found = {};
  struct dl_find_object library = {};
  return _dl_find_object(const_cast<void*>(address), &found) == 0 &&
         _dl_find_object(reinterpret_cast<void*>(gnu_get_libc_version), &library) == 0 &&
         found.dlfo_map_start == library.dlfo_map_start;
}

}  // namespace

void private_calls_start() {
#define PROF_FIND(name, type) find_behind(&g_##name, #name);
  PROF_LOCKS(PROF_FIND)
  find_behind(&g_tryjoin, "pthread_tryjoin_np");
  // Only the C library's own; where another one's stands before it, the system call does. (To ask the C library by a handle, dlopen would
  // have to make one, whose memory a leak checker misses.)
  const auto next = reinterpret_cast<ClockGettime>(dlsym(RTLD_NEXT, "clock_gettime"));
  if (next != nullptr && is_in_c_library(reinterpret_cast<const void*>(next))) {
    g_clock_gettime.store(next, std::memory_order_relaxed);
  }
}

}  // namespace prof

extern "C" {

int __wrap_clock_gettime(clockid_t clock, struct timespec* now) {
  const auto function = prof::g_clock_gettime.load(std::memory_order_relaxed);
  if (function != nullptr) return function(clock, now);
  return prof::raw_syscall(SYS_clock_gettime, clock, now) == 0 ? 0 : -1;
}

#define PROF_WRAP(name, type) \
  int __wrap_##name(type argument) { return prof::behind(&prof::g_##name, #name)(argument); }
PROF_LOCKS(PROF_WRAP)

int __wrap_pthread_tryjoin_np(pthread_t thread, void** result) {
  return prof::behind(&prof::g_tryjoin, "pthread_tryjoin_np")(thread, result);
}

}  // extern "C"
