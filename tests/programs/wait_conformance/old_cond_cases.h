// pthread_cond_* by the version of its symbols: old_cond/linked, old_cond/dlvsym; and today's by the same checks,
// looked up: cond/dlvsym, cond/dlsym.
#pragma once

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <string>

#include "harness.h"
#include "mutex_kinds.h"
#include "old_cond.h"

// The old ones: linked to, and looked up.
struct OldCalls {
  int (*init)(pthread_cond_t*, const pthread_condattr_t*);
  int (*destroy)(pthread_cond_t*);
  int (*wait)(pthread_cond_t*, pthread_mutex_t*);
  int (*timedwait)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  int (*signal)(pthread_cond_t*);
  int (*broadcast)(pthread_cond_t*);
};
static const OldCalls kLinkedOldCalls{old_cond_init,      old_cond_destroy, old_cond_wait,
                                      old_cond_timedwait, old_cond_signal,  old_cond_broadcast};

template <typename Function>
static void look_up(Function& function, const char* name, const char* version) {
  void* found = version != nullptr ? dlvsym(RTLD_DEFAULT, name, version) : dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) say(std::string("no ") + name);
  function = reinterpret_cast<Function>(found);
}

static OldCalls looked_up_calls(const char* version) {
  OldCalls calls;
  look_up(calls.init, "pthread_cond_init", version);
  look_up(calls.destroy, "pthread_cond_destroy", version);
  look_up(calls.wait, "pthread_cond_wait", version);
  look_up(calls.timedwait, "pthread_cond_timedwait", version);
  look_up(calls.signal, "pthread_cond_signal", version);
  look_up(calls.broadcast, "pthread_cond_broadcast", version);
  return calls;
}

// In `size` bytes; those after them are not touched.
static void cond_by_calls(const OldCalls& calls, size_t size) {
  union {
    OldCond old;
    pthread_cond_t current;
    unsigned char bytes[64];
  } memory;
  for (const bool made : {false, true}) {  // by its initialiser, and by its function
    memset(&memory, 0xa5, sizeof memory);
    memset(&memory, 0, size);
    pthread_cond_t* cond = &memory.current;
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    if (made) says("init", [&] { return calls.init(cond, nullptr); });
    says("signal to nobody", [&] { return calls.signal(cond); });
    says("broadcast to nobody", [&] { return calls.broadcast(cond); });
    pthread_mutex_lock(&mutex);
    for (const auto& timing : {kTimings[0], kTimings[2], kTimings[4]}) {
      const timespec end = at(CLOCK_REALTIME, timing.when);
      says(timing.name, [&] { return calls.timedwait(cond, &mutex, &end); });
    }
    say_state(&mutex);
    pthread_mutex_unlock(&mutex);
    for (const bool is_timed : {false, true}) {
      int waiting = 0, woken = 0, tickets = 0;
      const timespec end = far(CLOCK_REALTIME);
      const auto body = [&] {
        pthread_mutex_lock(&mutex);
        ++waiting;
        while (tickets == 0)
          if (const auto words =
                  answer([&] { return is_timed ? calls.timedwait(cond, &mutex, &end) : calls.wait(cond, &mutex); });
              words != "0,77")
            say(words);
        --tickets;
        ++woken;
        pthread_mutex_unlock(&mutex);
      };
      const auto reaches = [&](int& count, int value) {
        until([&] {
          pthread_mutex_lock(&mutex);
          const bool is_reached = count == value;
          pthread_mutex_unlock(&mutex);
          return is_reached;
        });
        say(std::to_string(value));
      };
      Thread one(body), two(body), three(body);
      reaches(waiting, 3);
      pthread_mutex_lock(&mutex);
      tickets = 1;
      says("signal", [&] { return calls.signal(cond); });
      pthread_mutex_unlock(&mutex);
      reaches(woken, 1);
      pthread_mutex_lock(&mutex);
      tickets = 2;
      says("broadcast", [&] { return calls.broadcast(cond); });
      pthread_mutex_unlock(&mutex);
      reaches(woken, 3);
    }
    says("destroy", [&] { return calls.destroy(cond); });
    bool touched = false;
    for (size_t i = size; i < sizeof memory; ++i) touched = touched || memory.bytes[i] != 0xa5;
    say(touched ? "wrote beyond" : "kept to its size");
  }
}
