// The one list of what libprof interposes: HOOK(result, name, parameters). exports.map exports each of them.
//
// dlopen is not here: its caller's RPATH decides where it searches, and the caller would be libprof.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define PROF_HOOKED_FUNCTIONS(HOOK)                                                           \
  /* threads */                                                                               \
  HOOK(int, pthread_create, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))     \
  /* names: the samples of a thread carry its name */                                         \
  HOOK(int, pthread_setname_np, (pthread_t, const char*))                                     \
  HOOK(int, prctl, (int, ...))                                                                \
  /* loader */                                                                                \
  HOOK(int, dlclose, (void*))                                                                 \
  /* exec: the thread's clock is stopped before, or a late tick would kill the new program */ \
  HOOK(int, execve, (const char*, char* const*, char* const*))                                \
  HOOK(int, execv, (const char*, char* const*))                                               \
  HOOK(int, execvp, (const char*, char* const*))                                              \
  HOOK(int, execvpe, (const char*, char* const*, char* const*))                               \
  HOOK(int, fexecve, (int, char* const*, char* const*))                                       \
  HOOK(int, execveat, (int, const char*, char* const*, char* const*, int))                    \
  /* signals: SIGPROF is libprof's, and the program does not see it */                        \
  HOOK(int, sigaction, (int, const struct sigaction*, struct sigaction*))                     \
  HOOK(sighandler_t, signal, (int, sighandler_t))                                             \
  HOOK(int, sigwait, (const sigset_t*, int*))                                                 \
  HOOK(int, sigwaitinfo, (const sigset_t*, siginfo_t*))                                       \
  HOOK(int, sigtimedwait, (const sigset_t*, siginfo_t*, const struct timespec*))              \
  HOOK(int, signalfd, (int, const sigset_t*, int))                                            \
  HOOK(int, sigpending, (sigset_t*))
