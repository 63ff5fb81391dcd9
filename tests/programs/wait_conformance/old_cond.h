// The condition variable of 2002, by the version of its symbols: old programs call it.
#pragma once

#include <pthread.h>
#include <time.h>

extern "C" {
int old_cond_init(pthread_cond_t*, const pthread_condattr_t*);
int old_cond_destroy(pthread_cond_t*);
int old_cond_wait(pthread_cond_t*, pthread_mutex_t*);
int old_cond_timedwait(pthread_cond_t*, pthread_mutex_t*, const timespec*);
int old_cond_signal(pthread_cond_t*);
int old_cond_broadcast(pthread_cond_t*);
}
__asm__(".symver old_cond_init, pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_cond_destroy, pthread_cond_destroy@GLIBC_2.2.5");
__asm__(".symver old_cond_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_cond_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_cond_signal, pthread_cond_signal@GLIBC_2.2.5");
__asm__(".symver old_cond_broadcast, pthread_cond_broadcast@GLIBC_2.2.5");

struct OldCond {
  long words[6];  // LinuxThreads' 48 bytes
};
