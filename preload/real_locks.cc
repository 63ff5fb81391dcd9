#include "preload/real_locks.h"

#include "preload/real_symbols.h"

namespace prof {
namespace {

void find() {
  // C functions: none of them throws.
  const auto mutex_call = [](int (*found)(pthread_mutex_t*)) {
    return reinterpret_cast<int (*)(pthread_mutex_t*) noexcept>(found);
  };
  const auto rwlock_call = [](int (*found)(pthread_rwlock_t*)) {
    return reinterpret_cast<int (*)(pthread_rwlock_t*) noexcept>(found);
  };
  g_real_locks = {mutex_call(real::pthread_mutex_lock()), mutex_call(real::pthread_mutex_unlock()),
                  rwlock_call(real::pthread_rwlock_rdlock()), rwlock_call(real::pthread_rwlock_wrlock()),
                  rwlock_call(real::pthread_rwlock_unlock())};
}

// What g_real_locks points to at first.
template <int (*RealLocks::*function)(pthread_mutex_t*) noexcept>
int first_mutex_call(pthread_mutex_t* mutex) noexcept {
  find();
  return (g_real_locks.*function)(mutex);
}
template <int (*RealLocks::*function)(pthread_rwlock_t*) noexcept>
int first_rwlock_call(pthread_rwlock_t* lock) noexcept {
  find();
  return (g_real_locks.*function)(lock);
}

}  // namespace

constinit RealLocks g_real_locks = {
    first_mutex_call<&RealLocks::mutex_lock>, first_mutex_call<&RealLocks::mutex_unlock>,
    first_rwlock_call<&RealLocks::rwlock_rdlock>, first_rwlock_call<&RealLocks::rwlock_wrlock>,
    first_rwlock_call<&RealLocks::rwlock_unlock>};

}  // namespace prof
