// pthread_mutex_*: mutex/KIND/OPERATION, each of kMutexOperations on a mutex of each kind, by run_mutex;
// mutex/static, mutex/ceiling.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"
#include "mutex_kinds.h"

static void mutex_life(const MutexKind&, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = 1000 * kMillisecond;
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
  SAYS(pthread_mutex_unlock(m));
  says("lock with bad nsec", [&] { return pthread_mutex_timedlock(m, &odd); });
  if (state_of(m) == "EBUSY") SAYS(pthread_mutex_unlock(m));
  says("lock with bad clock", [&] { return pthread_mutex_clocklock(m, kBadClock, &real); });
  if (state_of(m) == "EBUSY") SAYS(pthread_mutex_unlock(m));
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
  say("destroyed:");
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_relock(const MutexKind& kind, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  if (!kind.deadlocks()) SAYS(pthread_mutex_lock(m));
  if (kind.is_recursive()) {
    for (int i = 0; i < 2; ++i) SAYS(pthread_mutex_unlock(m));
    say_state(m);
  }
  if (!kind.is_recursive())
    say_timings([&](auto end) { return pthread_mutex_timedlock(m, end); },
                [&](auto clock, auto end) { return pthread_mutex_clocklock(m, clock, end); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  say_state(m);
}

static void mutex_depth(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_recursive()) return say("-");
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  for (int i = 0; i < 3; ++i) SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
  for (int i = 0; i < 6; ++i) {
    say_state(m);
    SAYS(pthread_mutex_unlock(m));
  }
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_not_owner(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.knows_owner()) return say("-");
  says("unlock of a free one", [&] { return pthread_mutex_unlock(m); });
  SAYS(pthread_mutex_lock(m));
  say("unlock by another=" + others([&] { return pthread_mutex_unlock(m); }));
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_busy(const MutexKind& kind, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  in_thread([&] {
    SAYS(pthread_mutex_trylock(m));
    say_timings([&](auto end) { return pthread_mutex_timedlock(m, end); },
                [&](auto clock, auto end) { return pthread_mutex_clocklock(m, clock, end); });
  });
  if (!kind.is_robust()) says("destroy of a held one", [&] { return pthread_mutex_destroy(m); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  say_state(m);
}

// Who waits gets it after it was let go; by each of the calls.
static void mutex_handed_over(const MutexKind&, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  const std::function<int()> calls[] = {[&] { return pthread_mutex_lock(m); },
                                        [&] { return pthread_mutex_timedlock(m, &real); },
                                        [&] { return pthread_mutex_clocklock(m, CLOCK_REALTIME, &real); },
                                        [&] { return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono); }};
  for (const auto& call : calls) {
    SAYS(pthread_mutex_lock(m));
    Thread waiter([&] {
      const std::string words = answer(call);
      say("got " + words);
      if (words == "0,77") SAYS(pthread_mutex_unlock(m));
    });
    until_blocked(waiter.tid());
    say("release");
    const std::string words = answer([&] { return pthread_mutex_unlock(m); });
    waiter.join();
    say("release=" + words);
  }
  say_state(m);
}

static void mutex_counts(const MutexKind&, pthread_mutex_t* m) {
  int inside = 0, most = 0, count = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int t = 0; t < 3; ++t)
    threads.push_back(std::make_unique<Thread>([&] {
      for (int i = 0; i < 500; ++i) {
        if (pthread_mutex_lock(m) != 0) say("lock failed");
        most = std::max(most, ++inside);
        count = count + 1;
        if (i % 100 == 0) sched_yield();
        --inside;
        if (pthread_mutex_unlock(m) != 0) say("unlock failed");
      }
    }));
  threads.clear();
  say("count=" + std::to_string(count) + " most inside=" + std::to_string(most));
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
}

// trylock is the last: glibc leaves a mutex that is not recoverable locked by it, and who comes then waits for ever.
static const char* const kDeathCalls[] = {"lock", "timedlock", "clocklock", "trylock"};

static int lock_by(const std::string& call, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  if (call == "lock") return pthread_mutex_lock(m);
  if (call == "trylock") return pthread_mutex_trylock(m);
  if (call == "timedlock") return pthread_mutex_timedlock(m, &real);
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono);
}

// The owner died: each call inherits the mutex, which is made consistent; at last it is not.
static void after_deaths(const MutexKind& kind, pthread_mutex_t* m, const std::function<void()>& owner_dies) {
  says("consistent of a healthy one", [&] { return pthread_mutex_consistent(m); });
  for (const char* call : kDeathCalls) {
    owner_dies();
    says(call, [&] { return lock_by(call, m); });
    say_state(m);
    SAYS(pthread_mutex_consistent(m));
    if (kind.is_recursive()) {
      SAYS(pthread_mutex_lock(m));
      SAYS(pthread_mutex_unlock(m));
      say_state(m);
    }
    SAYS(pthread_mutex_unlock(m));
    say_state(m);
  }
  owner_dies();
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_unlock(m));
  for (const char* call : kDeathCalls) says(call, [&] { return lock_by(call, m); });
  SAYS(pthread_mutex_consistent(m));
  SAYS(pthread_mutex_destroy(m));
}

static void mutex_thread_dies(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust()) return say("-");
  after_deaths(kind, m, [&] { in_thread([&] { SAYS(pthread_mutex_lock(m)); }); });
}

static void mutex_process_dies(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust() || !kind.is_shared()) return say("-");
  bool killed = false;
  after_deaths(kind, m, [&] {
    killed = !killed;
    say(Child([&] { return answer([&] { return pthread_mutex_lock(m); }); }, killed).ended());
  });
}

// Two wait for one whose owner dies; the first that gets it spoils it.
static void mutex_waits_for_dead(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust()) return say("-");
  std::atomic<bool> is_locked{false}, may_die{false};
  Thread owner([&] {
    SAYS(pthread_mutex_lock(m));
    is_locked = true;
    until([&] { return may_die.load(); });
  });
  until([&] { return is_locked.load(); });
  std::vector<std::string> words(2);
  const auto wait = [&](size_t i) {
    words[i] = answer([&] { return pthread_mutex_lock(m); });
    if (words[i] == "EOWNERDEAD,77") words[i] += " unlock=" + answer([&] { return pthread_mutex_unlock(m); });
  };
  Thread first([&] { wait(0); }), second([&] { wait(1); });
  until_blocked(first.tid());
  until_blocked(second.tid());
  may_die = true;
  owner.join(), first.join(), second.join();
  say(joined(words));
  say_state(m);
}

static void mutex_across_fork(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_shared()) return say("-");
  auto* order = shared_memory<std::atomic<int>>();
  SAYS(pthread_mutex_lock(m));
  Child child([&] {
    std::string words = "trylock=" + answer([&] { return pthread_mutex_trylock(m); });
    words += " lock=" + answer([&] { return pthread_mutex_lock(m); });
    words += " order=" + std::to_string(++*order);
    return words + " unlock=" + answer([&] { return pthread_mutex_unlock(m); });
  });
  until_blocked(child.pid);
  usleep(2000);
  ++*order;
  SAYS(pthread_mutex_unlock(m));
  say(child.ended());
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
}

// A condition variable lets it go and has it again.
static void mutex_under_cond(const MutexKind& kind, pthread_mutex_t* m) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int turns = 0;
  std::string released;
  SAYS(pthread_mutex_lock(m));
  Thread other([&] {
    SAYS(pthread_mutex_lock(m));
    ++turns;
    SAYS(pthread_cond_signal(&cond));
    released = answer([&] { return pthread_mutex_unlock(m); });
  });
  while (turns == 0) says("wait", [&] { return pthread_cond_wait(&cond, m); });
  other.join();
  say("release=" + released);
  say_state(m);
  const timespec end = at(CLOCK_REALTIME, When::kAhead);
  says("timedwait", [&] { return pthread_cond_timedwait(&cond, m, &end); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  if (kind.knows_owner()) {
    says("wait without it", [&] { return pthread_cond_wait(&cond, m); });
    says("timedwait without it", [&] { return pthread_cond_timedwait(&cond, m, &end); });
  }
  if (kind.is_robust()) {  // who signals dies with it
    SAYS(pthread_mutex_lock(m));
    Thread dies([&] {
      SAYS(pthread_mutex_lock(m));
      SAYS(pthread_cond_signal(&cond));
    });
    says("wait", [&] { return pthread_cond_wait(&cond, m); });
    SAYS(pthread_mutex_consistent(m));
    SAYS(pthread_mutex_unlock(m));
  }
  say_state(m);
}

// No cancellation point, of whatever kind it is.
static void mutex_cancelled(const MutexKind&, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  Thread waiter([&] {
    const std::string words = answer([&] { return pthread_mutex_lock(m); });
    say("got " + words);
    SAYS(pthread_mutex_unlock(m));
    pthread_testcancel();
    say("went on");
  });
  until_blocked(waiter.tid());
  SAYS(pthread_cancel(waiter.id));
  usleep(2000);
  say("release");
  const std::string words = answer([&] { return pthread_mutex_unlock(m); });
  say(std::string(waiter.join() == PTHREAD_CANCELED ? "cancelled" : "ended") + " release=" + words);
  say_state(m);
}

struct MutexOperation {
  const char* name;
  void (*run)(const MutexKind&, pthread_mutex_t*);
};
static const MutexOperation kMutexOperations[] = {
    {"life", mutex_life},
    {"relock", mutex_relock},
    {"depth", mutex_depth},
    {"not_owner", mutex_not_owner},
    {"busy", mutex_busy},
    {"handed_over", mutex_handed_over},
    {"counts", mutex_counts},
    {"thread_dies", mutex_thread_dies},
    {"process_dies", mutex_process_dies},
    {"waits_for_dead", mutex_waits_for_dead},
    {"across_fork", mutex_across_fork},
    {"under_cond", mutex_under_cond},
    {"cancelled", mutex_cancelled},
};

static void run_mutex(const MutexKind& kind, const MutexOperation& operation) {
  auto* mutex = shared_memory<pthread_mutex_t>();
  const int result = make_mutex(kind, mutex);
  if (result != 0) return say("init=" + named(result));
  if (kind.is_real_time()) return in_real_time([&] { operation.run(kind, mutex); });
  operation.run(kind, mutex);
}

static void mutex_static() {
  pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                  errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
                  adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
  for (pthread_mutex_t* m : {&normal, &recursive, &errorcheck, &adaptive}) {
    SAYS(pthread_mutex_lock(m));
    if (m == &recursive || m == &errorcheck) SAYS(pthread_mutex_lock(m));
    SAYS(pthread_mutex_trylock(m));
    for (int i = 0; i < (m == &recursive ? 3 : 1); ++i) SAYS(pthread_mutex_unlock(m));
    say_state(m);
    SAYS(pthread_mutex_destroy(m));
  }
}

static int own_priority() {
  sched_param parameters{};
  sched_getparam(0, &parameters);
  return parameters.sched_priority;
}

static void mutex_ceiling() {
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_PROTECT);
  pthread_mutexattr_setprioceiling(&attributes, 5);
  pthread_mutex_init(&mutex, &attributes);
  const timespec end = far(CLOCK_REALTIME);
  say("not in real time:");  // a thread each: what failed is remembered as a priority that the thread had
  in_thread([&] { SAYS(pthread_mutex_lock(&mutex)); });
  in_thread([&] { SAYS(pthread_mutex_trylock(&mutex)); });
  in_thread([&] { SAYS(pthread_mutex_timedlock(&mutex, &end)); });
  say("in real time:");
  in_real_time([&] {
    SAYS(pthread_mutex_lock(&mutex));
    say("priority=" + std::to_string(own_priority()));
    SAYS(pthread_mutex_unlock(&mutex));
    say("priority=" + std::to_string(own_priority()));
    const sched_param above{.sched_priority = 6};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &above);
    SAYS(pthread_mutex_lock(&mutex));
    SAYS(pthread_mutex_trylock(&mutex));
    SAYS(pthread_mutex_timedlock(&mutex, &end));
  });
  SAYS(pthread_mutex_destroy(&mutex));
}
