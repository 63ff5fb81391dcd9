// mtx_*, cnd_* and thrd_*: the cases c11/….
#pragma once

#include <semaphore.h>
#include <threads.h>
#include <time.h>

#include <cerrno>
#include <string>

#include "harness.h"

static std::string of_thrd(int result) {
  for (const Value& value : {Value{"success", thrd_success},
                             {"busy", thrd_busy},
                             {"error", thrd_error},
                             {"nomem", thrd_nomem},
                             {"timedout", thrd_timedout}})
    if (result == value.value) return value.name;
  return named(result);
}
template <typename Call>
static void says_thrd(const char* name, Call call) {
  errno = kMark;
  const int result = call(), after = errno;
  say(std::string(name) + "=" + of_thrd(result) + "," + named(after));
}
#define SAYS_C(call) says_thrd(std::string(#call).substr(0, std::string(#call).find('(')).c_str(), [&] { return call; })

static void c11_mtx(int type) {
  mtx_t mutex;
  SAYS_C(mtx_init(&mutex, type));
  const auto timed = [&](const char* name, When when) {
    const timespec end = at(CLOCK_REALTIME, when);
    says_thrd(name, [&] { return mtx_timedlock(&mutex, &end); });
  };
  const auto others_try = [&] { in_thread([&] { SAYS_C(mtx_trylock(&mutex)); }); };
  SAYS_C(mtx_lock(&mutex));
  SAYS_C(mtx_trylock(&mutex));
  if ((type & mtx_recursive) != 0) {
    SAYS_C(mtx_lock(&mutex));
    timed("timed", When::kFar);
    for (int i = 0; i < 3; ++i) SAYS_C(mtx_unlock(&mutex));
  }
  others_try();
  in_thread([&] {
    timed("past", When::kPast);
    timed("ahead", When::kAhead);
    timed("nsec1e9", When::kBillionNanoseconds);
    if ((type & mtx_recursive) != 0) SAYS_C(mtx_unlock(&mutex));
  });
  Thread waiter([&] {
    errno = kMark;
    const std::string words = of_thrd(mtx_lock(&mutex));
    say("got " + words + "," + named(errno));
    SAYS_C(mtx_unlock(&mutex));
  });
  until_blocked(waiter.tid());
  say("release");
  const int result = mtx_unlock(&mutex);
  waiter.join();
  say("release=" + of_thrd(result));
  timed("timed", When::kFar);
  SAYS_C(mtx_unlock(&mutex));
  mtx_destroy(&mutex);
}

static void c11_bad_mtx() {
  mtx_t mutex;
  SAYS_C(mtx_init(&mutex, 99));
}

static void c11_cnd() {
  mtx_t mutex;
  cnd_t cond;
  int turns = 0;
  SAYS_C(mtx_init(&mutex, mtx_plain));
  SAYS_C(cnd_init(&cond));
  SAYS_C(cnd_signal(&cond));
  SAYS_C(cnd_broadcast(&cond));
  SAYS_C(mtx_lock(&mutex));
  for (const Timing& timing : {kTimings[0], kTimings[2], kTimings[4]}) {
    const timespec end = at(CLOCK_REALTIME, timing.when);
    says_thrd(timing.name, [&] { return cnd_timedwait(&cond, &mutex, &end); });
  }
  for (const bool is_timed : {false, true}) {
    turns = 0;
    Thread other([&] {
      SAYS_C(mtx_lock(&mutex));
      ++turns;
      if (is_timed) SAYS_C(cnd_broadcast(&cond));
      if (!is_timed) SAYS_C(cnd_signal(&cond));
      SAYS_C(mtx_unlock(&mutex));
    });
    const timespec end = far(CLOCK_REALTIME);
    std::string words;
    while (turns == 0) words += " " + of_thrd(is_timed ? cnd_timedwait(&cond, &mutex, &end) : cnd_wait(&cond, &mutex));
    other.join();
    say("waited" + words);
    in_thread([&] { SAYS_C(mtx_trylock(&mutex)); });
  }
  SAYS_C(mtx_unlock(&mutex));
  cnd_destroy(&cond);
  mtx_destroy(&mutex);
}

static void c11_thrd() {
  thrd_t thread;
  int value = -5;
  SAYS_C(thrd_create(
      &thread, [](void*) { return 44; }, nullptr));
  SAYS_C(thrd_join(thread, &value));
  say(std::to_string(value));
  SAYS_C(thrd_create(
      &thread, [](void*) -> int { thrd_exit(45); }, nullptr));
  SAYS_C(thrd_join(thread, &value));
  say(std::to_string(value));
  SAYS_C(thrd_create(
      &thread, [](void*) { return 46; }, nullptr));
  SAYS_C(thrd_join(thread, nullptr));
  SAYS_C(thrd_join(thrd_current(), nullptr));
  sem_t sem;
  sem_init(&sem, 0, 0);
  SAYS_C(thrd_create(
      &thread, [](void* sem) { return waits_for_sem(sem) != nullptr ? 1 : 0; }, &sem));
  SAYS_C(thrd_detach(thread));
  SAYS_C(thrd_join(thread, nullptr));
  sem_post(&sem);
  until([&] { return value_of(&sem) == 0; });
}
