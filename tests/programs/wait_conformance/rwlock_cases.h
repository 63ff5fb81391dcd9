// pthread_rwlock_*: rwlock/KIND/OPERATION, each of kRwlockOperations on a lock of each preference and sharing, by
// run_rwlock.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <string>

#include "harness.h"

static const Value kPreferences[] = {{"readers", PTHREAD_RWLOCK_PREFER_READER_NP},
                                     {"writer", PTHREAD_RWLOCK_PREFER_WRITER_NP},
                                     {"writer_nonrecursive", PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}};

struct RwlockKind {
  std::string name;
  int preference, sharing;
};

static std::string state_of(pthread_rwlock_t* lock) {
  std::string state = "free";
  in_thread([&] {
    if (pthread_rwlock_trywrlock(lock) == 0) {
      pthread_rwlock_unlock(lock);
      return;
    }
    const int result = pthread_rwlock_tryrdlock(lock);
    state = result == 0 ? "read" : "written";
    if (result == 0) pthread_rwlock_unlock(lock);
  });
  return state;
}
static void say_state(pthread_rwlock_t* lock) { say("state=" + state_of(lock)); }

static void say_read_timings(pthread_rwlock_t* l) {
  say("reading:");
  say_timings([&](auto end) { return pthread_rwlock_timedrdlock(l, end); },
              [&](auto clock, auto end) { return pthread_rwlock_clockrdlock(l, clock, end); });
}
static void say_write_timings(pthread_rwlock_t* l) {
  say("writing:");
  say_timings([&](auto end) { return pthread_rwlock_timedwrlock(l, end); },
              [&](auto clock, auto end) { return pthread_rwlock_clockwrlock(l, clock, end); });
}

static void rwlock_life(const RwlockKind&, pthread_rwlock_t* l) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = -1;
  const std::pair<const char*, std::function<int()>> calls[] = {
      {"rdlock", [&] { return pthread_rwlock_rdlock(l); }},
      {"wrlock", [&] { return pthread_rwlock_wrlock(l); }},
      {"tryrdlock", [&] { return pthread_rwlock_tryrdlock(l); }},
      {"trywrlock", [&] { return pthread_rwlock_trywrlock(l); }},
      {"timedrdlock", [&] { return pthread_rwlock_timedrdlock(l, &real); }},
      {"timedwrlock", [&] { return pthread_rwlock_timedwrlock(l, &real); }},
      {"clockrdlock", [&] { return pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &mono); }},
      {"clockwrlock", [&] { return pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &mono); }},
      {"timedrdlock with bad nsec", [&] { return pthread_rwlock_timedrdlock(l, &odd); }},
      {"timedwrlock with bad nsec", [&] { return pthread_rwlock_timedwrlock(l, &odd); }},
      {"clockrdlock with bad clock", [&] { return pthread_rwlock_clockrdlock(l, kBadClock, &real); }},
      {"clockwrlock with bad clock", [&] { return pthread_rwlock_clockwrlock(l, kBadClock, &real); }},
  };
  for (const auto& [name, call] : calls) {
    says(name, call);
    const std::string state = state_of(l);
    say(state);
    if (state != "free") SAYS(pthread_rwlock_unlock(l));
  }
  SAYS(pthread_rwlock_destroy(l));
}

static void rwlock_readers(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_tryrdlock(l));
  SAYS(pthread_rwlock_trywrlock(l));
  say_write_timings(l);
  in_thread([&] {
    SAYS(pthread_rwlock_rdlock(l));
    SAYS(pthread_rwlock_trywrlock(l));
    SAYS(pthread_rwlock_unlock(l));
    say_write_timings(l);
  });
  for (int i = 0; i < 3; ++i) {
    say_state(l);
    SAYS(pthread_rwlock_unlock(l));
  }
  say_state(l);
}

static void rwlock_writer(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_wrlock(l));
  SAYS(pthread_rwlock_wrlock(l));
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_tryrdlock(l));
  SAYS(pthread_rwlock_trywrlock(l));
  say_read_timings(l);
  say_write_timings(l);
  say("another:");
  in_thread([&] {
    SAYS(pthread_rwlock_tryrdlock(l));
    SAYS(pthread_rwlock_trywrlock(l));
    say_read_timings(l);
    say_write_timings(l);
  });
  say_state(l);
  SAYS(pthread_rwlock_unlock(l));
  say_state(l);
}

// A writer waits for a reader: does another reader still come in?
static void rwlock_preference(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_rdlock(l));
  Thread writer([&] {
    const std::string words = answer([&] { return pthread_rwlock_wrlock(l); });
    say("writes " + words);
    SAYS(pthread_rwlock_unlock(l));
  });
  until_blocked(writer.tid());
  usleep(2000);
  in_thread([&] {
    const timespec end = at(CLOCK_REALTIME, When::kAhead);
    says("a reader", [&] { return pthread_rwlock_tryrdlock(l) == 0 ? pthread_rwlock_unlock(l) : EBUSY; });
    says("a patient one",
         [&] { return pthread_rwlock_timedrdlock(l, &end) == 0 ? pthread_rwlock_unlock(l) : ETIMEDOUT; });
  });
  say("release");
  const std::string words = answer([&] { return pthread_rwlock_unlock(l); });
  writer.join();
  say("release=" + words);
  say_state(l);
}

static void rwlock_handed_over(const RwlockKind&, pthread_rwlock_t* l) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  const std::function<int()> calls[] = {
      [&] { return pthread_rwlock_rdlock(l); },
      [&] { return pthread_rwlock_wrlock(l); },
      [&] { return pthread_rwlock_timedrdlock(l, &real); },
      [&] { return pthread_rwlock_timedwrlock(l, &real); },
      [&] { return pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &mono); },
      [&] { return pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &mono); },
  };
  for (const auto& call : calls) {
    SAYS(pthread_rwlock_wrlock(l));
    Thread waiter([&] {
      const std::string words = answer(call);
      say("got " + words + " " + state_of(l));
      SAYS(pthread_rwlock_unlock(l));
    });
    until_blocked(waiter.tid());
    say("release");
    const std::string words = answer([&] { return pthread_rwlock_unlock(l); });
    waiter.join();
    say("release=" + words);
  }
  // All readers at once, and they are inside together.
  std::atomic<int> inside{0};
  SAYS(pthread_rwlock_wrlock(l));
  const auto read = [&] {
    if (pthread_rwlock_rdlock(l) != 0) say("rdlock failed");
    ++inside;
    until([&] { return inside == 3; });
    if (pthread_rwlock_unlock(l) != 0) say("unlock failed");
  };
  {
    Thread one(read), two(read), three(read);
    until_blocked(three.tid());
    SAYS(pthread_rwlock_unlock(l));
  }
  say("inside=" + std::to_string(inside));
  say_state(l);
}

static void rwlock_counts(const RwlockKind&, pthread_rwlock_t* l) {
  int count = 0;
  std::atomic<int> torn{0};
  const auto write = [&] {
    for (int i = 0; i < 500; ++i) {
      pthread_rwlock_wrlock(l);
      ++count;
      if (i % 100 == 0) sched_yield();
      ++count;
      pthread_rwlock_unlock(l);
    }
  };
  const auto read = [&] {
    for (int i = 0; i < 500; ++i) {
      pthread_rwlock_rdlock(l);
      torn += count % 2;
      pthread_rwlock_unlock(l);
    }
  };
  { Thread a(write), b(write), c(read), d(read); }
  say("count=" + std::to_string(count) + " torn=" + std::to_string(torn));
  say_state(l);
  SAYS(pthread_rwlock_destroy(l));
}

static void rwlock_across_fork(const RwlockKind& kind, pthread_rwlock_t* l) {
  if (kind.sharing != PTHREAD_PROCESS_SHARED) return say("-");
  for (const bool writes : {false, true}) {
    auto* order = shared_memory<std::atomic<int>>();
    SAYS(pthread_rwlock_wrlock(l));
    Child child([&] {
      std::string words = "try=" + answer([&] { return pthread_rwlock_tryrdlock(l); }) + " lock=";
      words += answer([&] { return writes ? pthread_rwlock_wrlock(l) : pthread_rwlock_rdlock(l); });
      words += " order=" + std::to_string(++*order);
      return words + " unlock=" + answer([&] { return pthread_rwlock_unlock(l); });
    });
    until_blocked(child.pid);
    usleep(2000);
    ++*order;
    SAYS(pthread_rwlock_unlock(l));
    say(child.ended());
    say_state(l);
  }
}

struct RwlockOperation {
  const char* name;
  void (*run)(const RwlockKind&, pthread_rwlock_t*);
};
static const RwlockOperation kRwlockOperations[] = {
    {"life", rwlock_life},
    {"readers", rwlock_readers},
    {"writer", rwlock_writer},
    {"preference", rwlock_preference},
    {"handed_over", rwlock_handed_over},
    {"counts", rwlock_counts},
    {"across_fork", rwlock_across_fork},
};

static void run_rwlock(const RwlockKind& kind, const RwlockOperation& operation) {
  auto* lock = shared_memory<pthread_rwlock_t>();
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, kind.preference);
  pthread_rwlockattr_setpshared(&attributes, kind.sharing);
  says("init", [&] { return pthread_rwlock_init(lock, &attributes); });
  pthread_rwlockattr_destroy(&attributes);
  operation.run(kind, lock);
}
