#include "preload/normal_mutex.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>

#include <cstdlib>
#include <cstring>

#include "preload/real_symbols.h"
#include "preload/valgrind.h"

namespace prof {

int g_normal_kind = kNoMutexKind;

namespace {

// Another library behind us that interposes on locks is to see them. (Not by dladdr, which goes through all symbols: 0.1 ms.)
bool is_the_c_library_s(int (*lock)(pthread_mutex_t*)) {
  struct dl_find_object of_lock = {};
  struct dl_find_object of_library = {};
  return _dl_find_object(reinterpret_cast<void*>(lock), &of_lock) == 0 &&
         _dl_find_object(reinterpret_cast<void*>(gnu_get_libc_version), &of_library) == 0 &&
         of_lock.dlfo_map_start == of_library.dlfo_map_start;
}

// Locks are then given another kind when they are first taken.
bool may_be_elided() {
  const char* const tunables = getenv("GLIBC_TUNABLES");
  return tunables != nullptr && strstr(tunables, "glibc.elision") != nullptr;
}

// Each side takes and gives free what the other one did.
bool keeps_the_protocol(int kind) {
  const auto lock = real::pthread_mutex_lock();
  const auto unlock = real::pthread_mutex_unlock();
  const int tid = static_cast<int>(raw_syscall(SYS_gettid));
  if (tid_in_descriptor() != tid) return false;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  mutex.__data.__kind = kind;
  const auto is_as = [&data = mutex.__data, kind](int lock_word, int owner, unsigned users) {
    return data.__lock == lock_word && data.__owner == owner && data.__nusers == users && data.__count == 0 &&
           data.__kind == kind;
  };
  if (!is_as(0, 0, 0)) return false;
  if (lock(&mutex) != 0 || !is_as(1, tid, 1)) return false;
  if (take_normal(&mutex) || release_normal(&mutex) || !is_as(0, 0, 0)) return false;
  if (!take_normal(&mutex) || !is_as(1, tid, 1)) return false;
  if (pthread_mutex_trylock(&mutex) != EBUSY) return false;
  if (unlock(&mutex) != 0 || !is_as(0, 0, 0)) return false;
  // As if somebody slept on it.
  if (!take_normal(&mutex)) return false;
  mutex.__data.__lock = 2;
  return unlock(&mutex) == 0 && is_as(0, 0, 0);
}

}  // namespace

bool normal_mutex_start() {
  if (!is_the_c_library_s(real::pthread_mutex_lock()) || !is_the_c_library_s(real::pthread_mutex_unlock()) ||
      may_be_elided() || is_under_valgrind() || !keeps_the_protocol(PTHREAD_MUTEX_TIMED_NP) ||
      !keeps_the_protocol(kNoElision)) {
    return false;
  }
  g_normal_kind = PTHREAD_MUTEX_TIMED_NP;
  return true;
}

}  // namespace prof
