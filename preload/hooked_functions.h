// The one list of what libprof interposes: HOOK(result, name, parameters). exports.map exports each of them.
//
// dlopen is not here: its caller's RPATH decides where it searches, and the caller would be libprof.
#pragma once

#define PROF_HOOKED_FUNCTIONS(HOOK)                                                                     \
  HOOK(int, pthread_create, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)) /* threads */ \
  HOOK(int, dlclose, (void*))                                                             /* loader */
