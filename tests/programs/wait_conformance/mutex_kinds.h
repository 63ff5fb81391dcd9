// Every kind of mutex that its attributes can ask for, how one is made, and its state as another thread finds it.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <string>

#include "harness.h"

static const Value kTypes[] = {{"normal", PTHREAD_MUTEX_NORMAL},
                               {"recursive", PTHREAD_MUTEX_RECURSIVE},
                               {"errorcheck", PTHREAD_MUTEX_ERRORCHECK},
                               {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP}};
static const Value kProtocols[] = {
    {"", PTHREAD_PRIO_NONE}, {"+inherit", PTHREAD_PRIO_INHERIT}, {"+protect", PTHREAD_PRIO_PROTECT}};
static const Value kRobust[] = {{"", PTHREAD_MUTEX_STALLED}, {"+robust", PTHREAD_MUTEX_ROBUST}};

struct MutexKind {
  std::string name;
  int type, protocol, robust, sharing;
  bool is_recursive() const { return type == PTHREAD_MUTEX_RECURSIVE; }
  bool is_robust() const { return robust == PTHREAD_MUTEX_ROBUST; }
  bool is_shared() const { return sharing == PTHREAD_PROCESS_SHARED; }
  bool is_real_time() const { return protocol == PTHREAD_PRIO_PROTECT; }
  bool deadlocks() const { return type == PTHREAD_MUTEX_NORMAL || type == PTHREAD_MUTEX_ADAPTIVE_NP; }
  bool knows_owner() const { return !deadlocks() || is_robust(); }
};

static int make_mutex(const MutexKind& kind, pthread_mutex_t* mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, kind.type);
  pthread_mutexattr_setprotocol(&attributes, kind.protocol);
  pthread_mutexattr_setrobust(&attributes, kind.robust);
  pthread_mutexattr_setpshared(&attributes, kind.sharing);
  const int result = pthread_mutex_init(mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result;
}

static std::string state_of(pthread_mutex_t* mutex) {
  std::string state = "free";
  in_thread([&] {
    const int result = pthread_mutex_trylock(mutex);
    if (result != 0) state = named(result);
    if (result == EOWNERDEAD) pthread_mutex_consistent(mutex);
    if (result == 0 || result == EOWNERDEAD) pthread_mutex_unlock(mutex);
  });
  return state;
}
static void say_state(pthread_mutex_t* mutex) { say("state=" + state_of(mutex)); }
