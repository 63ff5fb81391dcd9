// pthread_join and its kin: join/value, join/running, join/refused.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>

#include "harness.h"

static void joins_value() {
  const std::pair<const char*, std::function<int(pthread_t, void**)>> calls[] = {
      {"join", [](auto id, auto value) { return pthread_join(id, value); }},
      {"timedjoin",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_REALTIME);
         return pthread_timedjoin_np(id, value, &end);
       }},
      {"clockjoin realtime",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_REALTIME);
         return pthread_clockjoin_np(id, value, CLOCK_REALTIME, &end);
       }},
      {"clockjoin monotonic",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_MONOTONIC);
         return pthread_clockjoin_np(id, value, CLOCK_MONOTONIC, &end);
       }},
      {"tryjoin",
       [](auto id, auto value) {
         int result = 0;
         until([&] { return (result = pthread_tryjoin_np(id, value)) != EBUSY; });
         errno = kMark;
         return result;
       }},
  };
  for (const auto& [name, call] : calls)
    for (const auto body : {returns_41, exits_with_42})
      for (const bool asks : {true, false}) {
        pthread_t id;
        void* value = reinterpret_cast<void*>(-5);
        SAYS(pthread_create(&id, nullptr, body, nullptr));
        says(name, [&] { return call(id, asks ? &value : nullptr); });
        say(text_of(value));
      }
}

static void joins_running() {
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_t id;
  void* value = reinterpret_cast<void*>(-5);
  SAYS(pthread_create(&id, nullptr, waits_for_sem, &sem));
  SAYS(pthread_tryjoin_np(id, &value));
  // glibc takes the futex call's EINVAL for a wake-up and asks again, for ever: no odd times.
  say_timings([&](auto end) { return pthread_timedjoin_np(id, &value, end); },
              [&](auto clock, auto end) { return pthread_clockjoin_np(id, &value, clock, end); }, CLOCK_REALTIME,
              false);
  say(text_of(value));
  Thread joiner([&] {
    SAYS(pthread_join(id, &value));
    say(text_of(value));
  });
  until_blocked(joiner.tid());
  usleep(2000);
  say("post");
  sem_post(&sem);
  joiner.join();
}

// That two join one, or each other, glibc 2.36 does not notice: they wait for ever.
static void joins_refused() {
  const pthread_t self = pthread_self();
  const timespec end = far(CLOCK_REALTIME);
  SAYS(pthread_join(self, nullptr));
  SAYS(pthread_timedjoin_np(self, nullptr, &end));
  SAYS(pthread_clockjoin_np(self, nullptr, CLOCK_REALTIME, &end));
  SAYS(pthread_tryjoin_np(self, nullptr));
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_t id;
  SAYS(pthread_create(&id, nullptr, waits_for_sem, &sem));
  SAYS(pthread_detach(id));
  SAYS(pthread_detach(id));
  SAYS(pthread_join(id, nullptr));
  SAYS(pthread_tryjoin_np(id, nullptr));
  SAYS(pthread_timedjoin_np(id, nullptr, &end));
  SAYS(pthread_clockjoin_np(id, nullptr, CLOCK_MONOTONIC, &end));
  sem_post(&sem);
  until([&] { return value_of(&sem) == 0; });
}
