// The one list of what libprof interposes: HOOK(result, name, parameters). exports.map exports each of them.
//
// dlopen is not here: its caller's RPATH decides where it searches, and the caller would be libprof.
#pragma once

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <time.h>

// Locks and waits. What neither waits nor ends a wait is not here: trylock, init, destroy (nothing is kept of a lock that nobody
// waits for), sem_post.
#define PROF_WAITING_FUNCTIONS(HOOK)                                                                 \
  HOOK(int, pthread_mutex_lock, (pthread_mutex_t*))                                                  \
  HOOK(int, pthread_mutex_timedlock, (pthread_mutex_t*, const struct timespec*))                     \
  HOOK(int, pthread_mutex_clocklock, (pthread_mutex_t*, clockid_t, const struct timespec*))          \
  HOOK(int, pthread_mutex_unlock, (pthread_mutex_t*))                                                \
  HOOK(int, pthread_rwlock_rdlock, (pthread_rwlock_t*))                                              \
  HOOK(int, pthread_rwlock_wrlock, (pthread_rwlock_t*))                                              \
  HOOK(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t*, const struct timespec*))                 \
  HOOK(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t*, const struct timespec*))                 \
  HOOK(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t*, clockid_t, const struct timespec*))      \
  HOOK(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t*, clockid_t, const struct timespec*))      \
  HOOK(int, pthread_rwlock_unlock, (pthread_rwlock_t*))                                              \
  HOOK(int, pthread_spin_lock, (pthread_spinlock_t*))                                                \
  HOOK(int, pthread_cond_wait, (pthread_cond_t*, pthread_mutex_t*))                                  \
  HOOK(int, pthread_cond_timedwait, (pthread_cond_t*, pthread_mutex_t*, const struct timespec*))     \
  HOOK(int, pthread_cond_clockwait, (pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)) \
  HOOK(int, pthread_cond_signal, (pthread_cond_t*))                                                  \
  HOOK(int, pthread_cond_broadcast, (pthread_cond_t*))                                               \
  HOOK(int, sem_wait, (sem_t*))                                                                      \
  HOOK(int, sem_timedwait, (sem_t*, const struct timespec*))                                         \
  HOOK(int, sem_clockwait, (sem_t*, clockid_t, const struct timespec*))                              \
  HOOK(int, pthread_barrier_wait, (pthread_barrier_t*))                                              \
  HOOK(int, pthread_join, (pthread_t, void**))                                                       \
  HOOK(int, pthread_timedjoin_np, (pthread_t, void**, const struct timespec*))                       \
  HOOK(int, pthread_clockjoin_np, (pthread_t, void**, clockid_t, const struct timespec*))            \
  HOOK(int, mtx_lock, (mtx_t*))                                                                      \
  HOOK(int, mtx_timedlock, (mtx_t*, const struct timespec*))                                         \
  HOOK(int, mtx_unlock, (mtx_t*))                                                                    \
  HOOK(int, cnd_wait, (cnd_t*, mtx_t*))                                                              \
  HOOK(int, cnd_timedwait, (cnd_t*, mtx_t*, const struct timespec*))                                 \
  HOOK(int, cnd_signal, (cnd_t*))                                                                    \
  HOOK(int, cnd_broadcast, (cnd_t*))                                                                 \
  HOOK(int, thrd_join, (thrd_t, int*))

#define PROF_HOOKED_FUNCTIONS(HOOK)                                                                                    \
  /* threads */                                                                                                        \
  HOOK(int, pthread_create, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))                              \
  HOOK(int, thrd_create, (thrd_t*, thrd_start_t, void*))                                                               \
  HOOK(int, pthread_setattr_default_np, (const pthread_attr_t*))                                                       \
  /* names: the samples of a thread carry its name */                                                                  \
  HOOK(int, pthread_setname_np, (pthread_t, const char*))                                                              \
  HOOK(int, prctl, (int, ...))                                                                                         \
  /* system calls that the program forbids itself (preload/system_call_filter.h) */                                    \
  HOOK(long, syscall, (long, ...))                                                                                     \
  /* loader */                                                                                                         \
  HOOK(int, dlclose, (void*))                                                                                          \
  /* exec: the thread's clock is stopped before, or a late tick would kill the new program */                          \
  HOOK(int, execve, (const char*, char* const*, char* const*))                                                         \
  HOOK(int, execv, (const char*, char* const*))                                                                        \
  HOOK(int, execvp, (const char*, char* const*))                                                                       \
  HOOK(int, execvpe, (const char*, char* const*, char* const*))                                                        \
  HOOK(int, fexecve, (int, char* const*, char* const*))                                                                \
  HOOK(int, execveat, (int, const char*, char* const*, char* const*, int))                                             \
  /* children: libprof goes along where PROF_FOLLOW says so */                                                         \
  HOOK(int, posix_spawn,                                                                                               \
       (pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*, char* const*)) \
  HOOK(int, posix_spawnp,                                                                                              \
       (pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*, char* const*)) \
  HOOK(int, system, (const char*))                                                                                     \
  HOOK(FILE*, popen, (const char*, const char*))                                                                       \
  /* ends that run no destructor */                                                                                    \
  HOOK(void, _exit, (int))                                                                                             \
  HOOK(void, _Exit, (int))                                                                                             \
  HOOK(void, abort, ())                                                                                                \
  HOOK(int, daemon, (int, int))                                                                                        \
  /* what a process with one thread may do */                                                                          \
  HOOK(int, unshare, (int))                                                                                            \
  HOOK(int, setns, (int, int))                                                                                         \
  /* signals: what libprof handles itself is not seen by the program */                                                \
  HOOK(int, sigaction, (int, const struct sigaction*, struct sigaction*))                                              \
  HOOK(int, sigaltstack, (const stack_t*, stack_t*))                                                                   \
  HOOK(int, pthread_sigmask, (int, const sigset_t*, sigset_t*))                                                        \
  HOOK(int, sigprocmask, (int, const sigset_t*, sigset_t*))                                                            \
  HOOK(sighandler_t, signal, (int, sighandler_t))                                                                      \
  HOOK(sighandler_t, sysv_signal, (int, sighandler_t))                                                                 \
  HOOK(sighandler_t, __sysv_signal, (int, sighandler_t))                                                               \
  HOOK(sighandler_t, bsd_signal, (int, sighandler_t))                                                                  \
  HOOK(sighandler_t, ssignal, (int, sighandler_t))                                                                     \
  HOOK(sighandler_t, sigset, (int, sighandler_t))                                                                      \
  HOOK(int, sigignore, (int))                                                                                          \
  HOOK(int, sighold, (int))                                                                                            \
  HOOK(int, sigrelse, (int))                                                                                           \
  HOOK(int, siginterrupt, (int, int))                                                                                  \
  HOOK(int, sigwait, (const sigset_t*, int*))                                                                          \
  HOOK(int, sigwaitinfo, (const sigset_t*, siginfo_t*))                                                                \
  HOOK(int, sigtimedwait, (const sigset_t*, siginfo_t*, const struct timespec*))                                       \
  HOOK(int, signalfd, (int, const sigset_t*, int))                                                                     \
  HOOK(int, sigpending, (sigset_t*))                                                                                   \
  /* waits with a mask of their own: a tick is kept out of them */                                                     \
  HOOK(int, sigsuspend, (const sigset_t*))                                                                             \
  HOOK(int, __sigpause, (int, int))                                                                                    \
  HOOK(int, ppoll, (struct pollfd*, nfds_t, const struct timespec*, const sigset_t*))                                  \
  HOOK(int, __ppoll_chk, (struct pollfd*, nfds_t, const struct timespec*, const sigset_t*, size_t))                    \
  HOOK(int, pselect, (int, fd_set*, fd_set*, fd_set*, const struct timespec*, const sigset_t*))                        \
  HOOK(int, epoll_pwait, (int, struct epoll_event*, int, int, const sigset_t*))                                        \
  HOOK(int, epoll_pwait2, (int, struct epoll_event*, int, const struct timespec*, const sigset_t*))                    \
  PROF_WAITING_FUNCTIONS(HOOK)
