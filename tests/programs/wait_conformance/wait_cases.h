// What happens to who waits, by each call: a release, a signal, a cancellation. wait/CALL/EVENT, each of kEvents to who
// is in each of kWaits, by run_wait; and what else there is to cancellation: cancel/asynchronous, cancel/keeps_sem,
// cancel/nested.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>

#include "harness.h"
#include "mutex_kinds.h"
#include "old_cond.h"

struct Stage {
  pthread_mutex_t held = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_spinlock_t spin;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  OldCond old_cond{};
  pthread_barrier_t barrier;
  sem_t sem, end;
  mtx_t c_held, c_mutex;
  cnd_t c_cond;
  Thread* other = nullptr;
  timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  pthread_cond_t* old() { return reinterpret_cast<pthread_cond_t*>(&old_cond); }
};

static void let_go_mutex(void* mutex) {
  say("clean-up: mutex=" + state_of(static_cast<pthread_mutex_t*>(mutex)));
  SAYS(pthread_mutex_unlock(static_cast<pthread_mutex_t*>(mutex)));
}
static void let_go_mtx(void* mutex) {
  say("clean-up: mtx=" + others([&] { return mtx_trylock(static_cast<mtx_t*>(mutex)); }));
  SAYS(mtx_unlock(static_cast<mtx_t*>(mutex)));
}

template <typename Call>
static int holding_mutex(Stage& stage, Call call) {
  int result = 0;
  pthread_mutex_lock(&stage.mutex);
  pthread_cleanup_push(let_go_mutex, &stage.mutex);
  result = call();
  pthread_cleanup_pop(0);
  pthread_mutex_unlock(&stage.mutex);
  return result;
}
template <typename Call>
static int holding_mtx(Stage& stage, Call call) {
  int result = 0;
  mtx_lock(&stage.c_mutex);
  pthread_cleanup_push(let_go_mtx, &stage.c_mutex);
  result = call();
  pthread_cleanup_pop(0);
  mtx_unlock(&stage.c_mutex);
  return result;
}

// Under the mutex: who took it has been waiting since.
static int signal_cond(Stage& stage, int (*signal)(pthread_cond_t*), pthread_cond_t* cond) {
  pthread_mutex_lock(&stage.mutex);
  const int result = signal(cond);
  pthread_mutex_unlock(&stage.mutex);
  return result;
}

static int release_mutex(Stage& s) { return pthread_mutex_unlock(&s.held); }
static int release_rwlock(Stage& s) { return pthread_rwlock_unlock(&s.rwlock); }
static int release_cond(Stage& s) { return signal_cond(s, pthread_cond_signal, &s.cond); }
static int release_old_cond(Stage& s) { return signal_cond(s, old_cond_signal, s.old()); }
static int release_sem(Stage& s) { return sem_post(&s.sem); }
static int release_join(Stage& s) { return sem_post(&s.end); }
static int release_mtx(Stage& s) { return mtx_unlock(&s.c_held); }
static int release_cnd(Stage& s) {
  mtx_lock(&s.c_mutex);
  const int result = cnd_signal(&s.c_cond);
  mtx_unlock(&s.c_mutex);
  return result;
}

enum Ends { kReleaseOnly = 0, kByCancel = 1, kBySignal = 2, kByRestartingSignal = 4 };

struct Wait {
  const char* name;
  int ends;  // what ends it besides its release
  bool under_mutex;
  int (*wait)(Stage&);
  int (*release)(Stage&);
};

static const Wait kWaits[] = {
    {"pthread_mutex_lock", kReleaseOnly, false, [](Stage& s) { return pthread_mutex_lock(&s.held); }, release_mutex},
    {"pthread_mutex_timedlock", kReleaseOnly, false, [](Stage& s) { return pthread_mutex_timedlock(&s.held, &s.real); },
     release_mutex},
    {"pthread_mutex_clocklock", kReleaseOnly, false,
     [](Stage& s) { return pthread_mutex_clocklock(&s.held, CLOCK_MONOTONIC, &s.mono); }, release_mutex},
    {"pthread_rwlock_rdlock", kReleaseOnly, false, [](Stage& s) { return pthread_rwlock_rdlock(&s.rwlock); },
     release_rwlock},
    {"pthread_rwlock_wrlock", kReleaseOnly, false, [](Stage& s) { return pthread_rwlock_wrlock(&s.rwlock); },
     release_rwlock},
    {"pthread_rwlock_timedrdlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_timedrdlock(&s.rwlock, &s.real); }, release_rwlock},
    {"pthread_rwlock_timedwrlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_timedwrlock(&s.rwlock, &s.real); }, release_rwlock},
    {"pthread_rwlock_clockrdlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_clockrdlock(&s.rwlock, CLOCK_MONOTONIC, &s.mono); }, release_rwlock},
    {"pthread_rwlock_clockwrlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_clockwrlock(&s.rwlock, CLOCK_MONOTONIC, &s.mono); }, release_rwlock},
    {"pthread_spin_lock", kReleaseOnly, false, [](Stage& s) { return pthread_spin_lock(&s.spin); },
     [](Stage& s) { return pthread_spin_unlock(&s.spin); }},
    // Which of the two is told that it is the serial one is not known here.
    {"pthread_barrier_wait", kReleaseOnly, false,
     [](Stage& s) { return std::max(pthread_barrier_wait(&s.barrier), 0); },
     [](Stage& s) { return std::max(pthread_barrier_wait(&s.barrier), 0); }},
    {"pthread_cond_wait", kByCancel, true, [](Stage& s) { return pthread_cond_wait(&s.cond, &s.mutex); }, release_cond},
    {"pthread_cond_timedwait", kByCancel, true,
     [](Stage& s) { return pthread_cond_timedwait(&s.cond, &s.mutex, &s.real); }, release_cond},
    {"pthread_cond_clockwait", kByCancel, true,
     [](Stage& s) { return pthread_cond_clockwait(&s.cond, &s.mutex, CLOCK_MONOTONIC, &s.mono); }, release_cond},
    {"old pthread_cond_wait", kByCancel, true, [](Stage& s) { return old_cond_wait(s.old(), &s.mutex); },
     release_old_cond},
    {"old pthread_cond_timedwait", kByCancel, true,
     [](Stage& s) { return old_cond_timedwait(s.old(), &s.mutex, &s.real); }, release_old_cond},
    {"sem_wait", kByCancel | kBySignal, false, [](Stage& s) { return sem_wait(&s.sem); }, release_sem},
    {"sem_timedwait", kByCancel | kBySignal | kByRestartingSignal, false,
     [](Stage& s) { return sem_timedwait(&s.sem, &s.real); }, release_sem},
    {"sem_clockwait", kByCancel | kBySignal | kByRestartingSignal, false,
     [](Stage& s) { return sem_clockwait(&s.sem, CLOCK_MONOTONIC, &s.mono); }, release_sem},
    {"pthread_join", kByCancel, false, [](Stage& s) { return pthread_join(s.other->id, nullptr); }, release_join},
    {"pthread_timedjoin_np", kByCancel, false,
     [](Stage& s) { return pthread_timedjoin_np(s.other->id, nullptr, &s.real); }, release_join},
    {"pthread_clockjoin_np", kByCancel, false,
     [](Stage& s) { return pthread_clockjoin_np(s.other->id, nullptr, CLOCK_MONOTONIC, &s.mono); }, release_join},
    {"mtx_lock", kReleaseOnly, false, [](Stage& s) { return mtx_lock(&s.c_held); }, release_mtx},
    {"mtx_timedlock", kReleaseOnly, false, [](Stage& s) { return mtx_timedlock(&s.c_held, &s.real); }, release_mtx},
    {"cnd_wait", kByCancel, true, [](Stage& s) { return cnd_wait(&s.c_cond, &s.c_mutex); }, release_cnd},
    {"cnd_timedwait", kByCancel, true, [](Stage& s) { return cnd_timedwait(&s.c_cond, &s.c_mutex, &s.real); },
     release_cnd},
    {"thrd_join", kByCancel, false, [](Stage& s) { return thrd_join(s.other->id, nullptr); }, release_join},
};

enum class Event { kRelease, kSignal, kRestartingSignal, kCancel, kCancelBefore, kCancelDisabled };
static const std::pair<const char*, Event> kEvents[] = {{"released", Event::kRelease},
                                                        {"interrupted", Event::kSignal},
                                                        {"interrupted_restarting", Event::kRestartingSignal},
                                                        {"cancelled", Event::kCancel},
                                                        {"cancelled_before", Event::kCancelBefore},
                                                        {"cancel_disabled", Event::kCancelDisabled}};

static std::atomic<int> handled;
static void counts_signal(int) { ++handled; }

static void handle_usr1(int flags) {
  struct sigaction action {};
  action.sa_handler = counts_signal;
  action.sa_flags = flags;
  sigaction(SIGUSR1, &action, nullptr);
}

static void run_wait(const Wait& wait, Event event) {
  Stage s;
  const bool is_c_cond = strncmp(wait.name, "cnd", 3) == 0, joins = strstr(wait.name, "join") != nullptr,
             spins = strstr(wait.name, "spin") != nullptr,
             is_signal = event == Event::kSignal || event == Event::kRestartingSignal;
  pthread_spin_init(&s.spin, 0);
  pthread_barrier_init(&s.barrier, nullptr, 2);
  sem_init(&s.sem, 0, 0);
  sem_init(&s.end, 0, 0);
  mtx_init(&s.c_held, mtx_timed);
  mtx_init(&s.c_mutex, mtx_timed);
  cnd_init(&s.c_cond);
  pthread_mutex_lock(&s.held);
  pthread_rwlock_wrlock(&s.rwlock);
  pthread_spin_lock(&s.spin);
  mtx_lock(&s.c_held);
  Thread other([&] {
    if (joins) waits_for_sem(&s.end);
  });
  s.other = &other;
  other.tid();
  std::atomic<bool> may_enter{event != Event::kCancelBefore}, is_over{false}, is_inside{false};
  Thread waiter([&] {
    const bool defers = event == Event::kCancelBefore || event == Event::kCancelDisabled;
    if (defers) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    until([&] { return may_enter.load(); });
    if (event == Event::kCancelBefore) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    const auto call = [&] {
      is_inside = true;
      errno = kMark;
      return is_signal ? wait.wait(s) : but_for_a_tick([&] { return wait.wait(s); });
    };
    pthread_cleanup_push([](void*) { say("unwound"); }, nullptr);
    std::string words = answer([&] {
      if (!wait.under_mutex) return call();
      return is_c_cond ? holding_mtx(s, call) : holding_mutex(s, call);
    });
    say("returned " + words);
    is_over = true;
    if (event == Event::kCancelDisabled) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    pthread_testcancel();
    say("went on");
    pthread_cleanup_pop(0);
  });
  if (event != Event::kCancelBefore) {
    until([&] { return is_inside.load(); });
    if (!spins) until_blocked(waiter.tid());
  }
  std::string done;  // said when nobody else says anything
  bool ends = false;
  switch (event) {
    case Event::kRelease:
      break;
    case Event::kSignal:
    case Event::kRestartingSignal:
      handle_usr1(event == Event::kSignal ? 0 : SA_RESTART);
      ends = (wait.ends & (event == Event::kSignal ? kBySignal : kByRestartingSignal)) != 0;
      for (int i = 0; i < 3 || (ends && !is_over); ++i) {
        const int before = handled;
        if (is_over) break;
        pthread_kill(waiter.id, SIGUSR1);
        until([&] { return handled != before || is_over; });
        usleep(1000);
      }
      break;
    case Event::kCancel:
    case Event::kCancelBefore:
    case Event::kCancelDisabled:
      say("cancel");
      done = " cancel=" + answer([&] { return pthread_cancel(waiter.id); });
      may_enter = true;
      ends = (wait.ends & kByCancel) != 0 && event != Event::kCancelDisabled;
      if (!ends) usleep(3000);
      break;
  }
  if (!ends) {
    say(is_over ? "too early" : "release");
    if (wait.under_mutex) until([&] { return is_inside.load(); });
    done += " release=" + answer([&] { return wait.release(s); });
  }
  other.is_joined = joins && !ends;
  say("->" + text_of(waiter.join()) + done);
  sem_post(&s.end);
  if (joins && ends) say("other->" + text_of(other.join()));
  if (wait.under_mutex && !is_c_cond) say_state(&s.mutex);
  if (is_c_cond) say("mtx=" + others([&] { return mtx_trylock(&s.c_mutex); }));
}

// Asynchronous cancellation is for what calls nothing. The loop has nothing to destroy: C++ unwinds from calls only.
static void loops(std::atomic<bool>& runs) {
  volatile unsigned count = 0;
  for (;;) {
    count = count + 1;
    runs = true;
  }
}
static void (*volatile loops_for_ever)(std::atomic<bool>&) = loops;

static void cancel_asynchronous() {
  std::atomic<bool> runs{false};
  Thread thread([&] {
    pthread_cleanup_push([](void*) { say("unwound"); }, nullptr);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    loops_for_ever(runs);
    pthread_cleanup_pop(0);
  });
  until([&] { return runs.load(); });
  usleep(5000);
  const std::string words = answer([&] { return pthread_cancel(thread.id); });
  say("->" + text_of(thread.join()) + " cancel=" + words);
}

// A semaphore that could be had is left alone by a thread that was cancelled before.
static void cancel_keeps_sem() {
  sem_t sem;
  sem_init(&sem, 0, 1);
  Thread thread([&] {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    SAYS(pthread_cancel(pthread_self()));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    SAYS(sem_trywait(&sem));
    SAYS(sem_post(&sem));
    SAYS(sem_wait(&sem));
    say("went on");
  });
  say("->" + text_of(thread.join()));
  say("value=" + std::to_string(value_of(&sem)));
}

// Who is cancelled holding two mutexes gives back both, in order.
static void cancel_nested() {
  pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  std::atomic<bool> is_inside{false};
  Thread thread([&] {
    pthread_mutex_lock(&outer);
    pthread_cleanup_push(let_go_mutex, &outer);
    pthread_mutex_lock(&inner);
    pthread_cleanup_push(let_go_mutex, &inner);
    is_inside = true;
    for (;;) pthread_cond_wait(&cond, &inner);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
  });
  until([&] { return is_inside.load(); });
  pthread_mutex_lock(&inner);
  SAYS(pthread_cancel(thread.id));
  say("inner let go");
  pthread_mutex_unlock(&inner);
  say("->" + text_of(thread.join()));
  say_state(&inner);
  say_state(&outer);
}
