// libprof's own locks, those of the libraries in it: their calls are linked to these (wrapped.txt), and go to the real functions.
// Nothing of ours shows among the program's waits. Normal code.

#include <pthread.h>

#include "preload/real_locks.h"

extern "C" {

int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) { return prof::g_real_locks.mutex_lock(mutex); }
int __wrap_pthread_mutex_unlock(pthread_mutex_t* mutex) { return prof::g_real_locks.mutex_unlock(mutex); }

}  // extern "C"
