// pthread_cond_* of today: cond/CLOCK/OPERATION, each of kCondOperations on a variable of each clock and sharing.
#pragma once

#include <pthread.h>
#include <time.h>

#include <cerrno>
#include <functional>
#include <string>

#include "harness.h"
#include "mutex_kinds.h"

struct Cond {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int tickets, woken, waiting;
};

static Cond* make_cond(clockid_t clock, int sharing) {
  auto* c = shared_memory<Cond>();
  make_mutex({"", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, sharing}, &c->mutex);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, clock);
  pthread_condattr_setpshared(&attributes, sharing);
  says("init", [&] { return pthread_cond_init(&c->cond, &attributes); });
  pthread_condattr_destroy(&attributes);
  return c;
}

static void cond_timeouts(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  SAYS(pthread_cond_signal(&c->cond));  // nobody waits: not kept
  SAYS(pthread_cond_broadcast(&c->cond));
  SAYS(pthread_mutex_lock(&c->mutex));
  say_timings([&](auto end) { return pthread_cond_timedwait(&c->cond, &c->mutex, end); },
              [&](auto id, auto end) { return pthread_cond_clockwait(&c->cond, &c->mutex, id, end); }, clock);
  say_state(&c->mutex);
  SAYS(pthread_mutex_unlock(&c->mutex));
  SAYS(pthread_cond_destroy(&c->cond));
}

// Three wait, by each of the calls; one is let go by a signal, the others by a broadcast.
static void cond_wakes(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  const timespec own = far(clock), mono = far(CLOCK_MONOTONIC), real = far(CLOCK_REALTIME);
  const std::function<int()> waits[] = {
      [&] { return pthread_cond_wait(&c->cond, &c->mutex); },
      [&] { return pthread_cond_timedwait(&c->cond, &c->mutex, &own); },
      [&] { return pthread_cond_clockwait(&c->cond, &c->mutex, CLOCK_MONOTONIC, &mono); },
      [&] { return pthread_cond_clockwait(&c->cond, &c->mutex, CLOCK_REALTIME, &real); },
  };
  for (const auto& wait : waits) {
    c->tickets = c->woken = c->waiting = 0;
    std::string wrong;
    const auto body = [&] {
      pthread_mutex_lock(&c->mutex);
      ++c->waiting;
      while (c->tickets == 0) {
        const std::string words = answer(wait);
        if (words != "0,77") wrong += words;
        if (pthread_mutex_trylock(&c->mutex) != EBUSY) wrong += "not held";
      }
      --c->tickets;
      ++c->woken;
      pthread_mutex_unlock(&c->mutex);
    };
    const auto under_lock = [&](auto get) {
      pthread_mutex_lock(&c->mutex);
      const auto got = get();
      pthread_mutex_unlock(&c->mutex);
      return got;
    };
    const auto wakes = [&](int tickets, int (*wake)(pthread_cond_t*), int in_all) {
      const std::string words = under_lock([&] {
        c->tickets = tickets;
        return answer([&] { return wake(&c->cond); });
      });
      until([&] { return under_lock([&] { return c->woken; }) == in_all; });
      say(words + "->" + std::to_string(in_all));
    };
    {
      Thread one(body), two(body), three(body);
      until([&] { return under_lock([&] { return c->waiting; }) == 3; });
      wakes(1, pthread_cond_signal, 1);
      wakes(2, pthread_cond_broadcast, 3);
    }
    say("woken=" + std::to_string(c->woken) + " tickets=" + std::to_string(c->tickets) + wrong);
  }
  say_state(&c->mutex);
  SAYS(pthread_cond_destroy(&c->cond));
}

// Two threads, turn and turn about.
static void cond_turns(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  std::string order;
  const auto take_turns = [&](int who) {
    for (int i = 0; i < 10; ++i) {
      pthread_mutex_lock(&c->mutex);
      while (c->woken % 2 != who)
        if (pthread_cond_wait(&c->cond, &c->mutex) != 0) say("wait failed");
      ++c->woken;
      order += static_cast<char>('a' + who);
      pthread_cond_signal(&c->cond);
      pthread_mutex_unlock(&c->mutex);
    }
  };
  {
    Thread a([&] { take_turns(0); }), b([&] { take_turns(1); });
  }
  say(order);
  SAYS(pthread_cond_destroy(&c->cond));
}

static void cond_across_fork(clockid_t clock, int sharing) {
  if (sharing != PTHREAD_PROCESS_SHARED) return say("-");
  Cond* c = make_cond(clock, sharing);
  SAYS(pthread_mutex_lock(&c->mutex));
  Child child([&] {
    std::string words = "lock=" + answer([&] { return pthread_mutex_lock(&c->mutex); });
    c->tickets = 1;
    words += " signal=" + answer([&] { return pthread_cond_signal(&c->cond); });
    while (c->tickets == 1)
      if (const auto wait = answer([&] { return pthread_cond_wait(&c->cond, &c->mutex); }); wait != "0,77")
        words += wait;
    return words + " unlock=" + answer([&] { return pthread_mutex_unlock(&c->mutex); });
  });
  while (c->tickets == 0) says("wait", [&] { return pthread_cond_wait(&c->cond, &c->mutex); });
  c->tickets = 2;
  SAYS(pthread_cond_broadcast(&c->cond));
  SAYS(pthread_mutex_unlock(&c->mutex));
  say(child.ended());
  say_state(&c->mutex);
}

struct CondOperation {
  const char* name;
  void (*run)(clockid_t, int);
};
static const CondOperation kCondOperations[] = {
    {"timeouts", cond_timeouts}, {"wakes", cond_wakes}, {"turns", cond_turns}, {"across_fork", cond_across_fork}};
static const Value kClocks[] = {{"realtime", CLOCK_REALTIME}, {"monotonic", CLOCK_MONOTONIC}};
