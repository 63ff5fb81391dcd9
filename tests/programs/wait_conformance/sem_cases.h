// sem_*: sem/private, sem/shared, sem/named.
#pragma once

#include <fcntl.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>

#include "harness.h"

static void sem_calls(sem_t* sem) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = -1;
  for (int i = 0; i < 6; ++i) SAYS(sem_post(sem));
  say("value=" + std::to_string(value_of(sem)));
  SAYS(sem_wait(sem));
  SAYS(sem_trywait(sem));
  SAYS(sem_timedwait(sem, &real));
  SAYS(sem_clockwait(sem, CLOCK_MONOTONIC, &mono));
  says("with bad nsec", [&] { return sem_timedwait(sem, &odd); });
  says("with bad clock", [&] { return sem_clockwait(sem, kBadClock, &real); });
  while (sem_trywait(sem) == 0) say("one more");
  SAYS(sem_trywait(sem));
  say("value=" + std::to_string(value_of(sem)));
  say_timings([&](auto end) { return but_for_a_tick([&] { return sem_timedwait(sem, end); }); },
              [&](auto clock, auto end) { return but_for_a_tick([&] { return sem_clockwait(sem, clock, end); }); });
  say("value=" + std::to_string(value_of(sem)));
  const std::function<int()> waits[] = {[&] { return sem_wait(sem); }, [&] { return sem_timedwait(sem, &real); },
                                        [&] { return sem_clockwait(sem, CLOCK_REALTIME, &real); },
                                        [&] { return sem_clockwait(sem, CLOCK_MONOTONIC, &mono); }};
  for (const auto& wait : waits) {
    Thread waiter([&] {
      const std::string words = answer([&] { return but_for_a_tick(wait); });
      say("got " + words);
    });
    until_blocked(waiter.tid());
    say("post");
    const std::string words = answer([&] { return sem_post(sem); });
    waiter.join();
    say("post=" + words);
  }
  say("value=" + std::to_string(value_of(sem)));
}

static void sem_life(int sharing) {
  auto* sem = shared_memory<sem_t>();
  SAYS(sem_init(sem, sharing, static_cast<unsigned>(SEM_VALUE_MAX) + 1));
  SAYS(sem_init(sem, sharing, SEM_VALUE_MAX));
  SAYS(sem_post(sem));
  SAYS(sem_wait(sem));
  SAYS(sem_post(sem));
  SAYS(sem_post(sem));
  SAYS(sem_destroy(sem));
  SAYS(sem_init(sem, sharing, 0));
  sem_calls(sem);
  if (sharing != 0) {
    auto* back = shared_memory<sem_t>();
    sem_init(back, 1, 0);
    Child child([&] {
      const std::string words = "wait=" + answer([&] { return sem_wait(sem); });
      return words + " post=" + answer([&] { return sem_post(back); });
    });
    until_blocked(child.pid);
    SAYS(sem_post(sem));
    SAYS(sem_wait(back));
    say(child.ended());
  }
  SAYS(sem_destroy(sem));
}

static void sem_named() {
  const std::string name = "/wait_conformance." + std::to_string(getpid());
  sem_t* sem = sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 0);
  if (sem == SEM_FAILED) return say("sem_open " + named(errno));
  sem_unlink(name.c_str());
  sem_calls(sem);
  SAYS(sem_close(sem));
}
