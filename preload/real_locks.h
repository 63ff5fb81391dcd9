// The real calls that programs make by the million: a load and a jump. Each is valid at any time: before the look-up it points to a
// function that looks up first (real_symbols.h). Normal code.
#pragma once

#include <pthread.h>

namespace prof {

struct RealLocks {
  int (*mutex_lock)(pthread_mutex_t*) noexcept;
  int (*mutex_unlock)(pthread_mutex_t*) noexcept;
  int (*rwlock_rdlock)(pthread_rwlock_t*) noexcept;
  int (*rwlock_wrlock)(pthread_rwlock_t*) noexcept;
  int (*rwlock_unlock)(pthread_rwlock_t*) noexcept;
};
extern __attribute__((visibility("hidden"))) RealLocks g_real_locks;

}  // namespace prof
