// pthread_spin_*: spin/private, spin/shared.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <string>

#include "harness.h"

static void spin_lock(int sharing) {
  auto* spin = shared_memory<pthread_spinlock_t>();
  SAYS(pthread_spin_init(spin, sharing));
  SAYS(pthread_spin_lock(spin));
  SAYS(pthread_spin_trylock(spin));
  say("another=" + others([&] { return pthread_spin_trylock(spin); }));
  Thread waiter([&] {
    const std::string words = answer([&] { return pthread_spin_lock(spin); });
    say("got " + words);
    SAYS(pthread_spin_unlock(spin));
  });
  usleep(5000);
  say("release");
  const std::string words = answer([&] { return pthread_spin_unlock(spin); });
  waiter.join();
  say("release=" + words);
  int count = 0;
  const auto counts = [&] {
    for (int i = 0; i < 1000; ++i) {
      pthread_spin_lock(spin);
      count = count + 1;
      pthread_spin_unlock(spin);
    }
  };
  { Thread a(counts), b(counts); }
  say("count=" + std::to_string(count));
  if (sharing == PTHREAD_PROCESS_SHARED) {
    SAYS(pthread_spin_lock(spin));
    Child child([&] { return answer([&] { return pthread_spin_lock(spin); }); });
    usleep(5000);
    SAYS(pthread_spin_unlock(spin));
    say(child.ended());
    say("state=" + others([&] { return pthread_spin_trylock(spin); }));
    SAYS(pthread_spin_unlock(spin));
  }
  SAYS(pthread_spin_destroy(spin));
}
