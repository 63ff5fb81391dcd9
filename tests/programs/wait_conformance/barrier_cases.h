// pthread_barrier_*: barrier/private, barrier/shared.
#pragma once

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "harness.h"

static void barrier_rounds(int sharing) {
  auto* barrier = shared_memory<pthread_barrier_t>();
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, sharing);
  SAYS(pthread_barrier_init(barrier, &attributes, 0));
  SAYS(pthread_barrier_init(barrier, &attributes, 1));
  SAYS(pthread_barrier_wait(barrier));
  SAYS(pthread_barrier_destroy(barrier));
  SAYS(pthread_barrier_init(barrier, &attributes, 3));
  std::atomic<int> arrived{0}, early{0};
  std::vector<std::string> rounds[5];
  std::mutex mutex;
  const auto body = [&] {
    for (int i = 0; i < 5; ++i) {
      ++arrived;
      const std::string words = answer([&] { return pthread_barrier_wait(barrier); });
      if (arrived < 3 * (i + 1)) ++early;
      const std::lock_guard guard(mutex);
      rounds[i].push_back(words);
    }
  };
  { Thread one(body), two(body), three(body); }
  for (const auto& round : rounds) say(joined(round));
  say("early=" + std::to_string(early));
  if (sharing == PTHREAD_PROCESS_SHARED) {
    const auto body = [&] { return answer([&] { return pthread_barrier_wait(barrier); }); };
    const Child one(body), two(body);
    const std::string own = body();
    say(joined({own + "|exit 3", one.ended(), two.ended()}));
  }
  SAYS(pthread_barrier_destroy(barrier));
}
