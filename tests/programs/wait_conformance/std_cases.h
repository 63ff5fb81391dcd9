// The C++ library's mutexes, condition variables, latches, semaphores, futures: the cases std/….
#pragma once

#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "harness.h"

template <typename Call>
static void says_std(const char* name, Call call) {
  errno = kMark;
  std::string words;
  try {
    words = std::to_string(static_cast<int>(call()));
  } catch (const std::system_error& error) {
    words = "throws " + named(error.code().value());
  }
  const int after = errno;
  say(std::string(name) + "=" + words + "," + named(after));
}
// A void call gives 1.
#define SAYS_STD(call) says_std(#call, [&] { return call, 1; })
#define SAYS_BOOL(call) says_std(#call, [&] { return call; })
// What the C++ library does with futex calls of its own may leave any errno.
#define SAYS_RESULT(call) say(#call "=" + std::to_string(call))

using namespace std::chrono_literals;

template <typename Mutex>
static void std_locks(Mutex& mutex) {
  constexpr bool is_recursive =
      std::is_same_v<Mutex, std::recursive_mutex> || std::is_same_v<Mutex, std::recursive_timed_mutex>;
  SAYS_STD(mutex.lock());
  if (is_recursive) SAYS_BOOL(mutex.try_lock());
  std::thread([&] {
    SAYS_BOOL(mutex.try_lock());
    if constexpr (requires { mutex.try_lock_for(1ms); }) {
      SAYS_BOOL(mutex.try_lock_for(20ms));
      SAYS_BOOL(mutex.try_lock_for(-1ms));
      SAYS_BOOL(mutex.try_lock_until(std::chrono::system_clock::now() + 20ms));
      SAYS_BOOL(mutex.try_lock_until(std::chrono::steady_clock::now() + 20ms));
    }
    if constexpr (requires { mutex.try_lock_shared(); }) SAYS_BOOL(mutex.try_lock_shared());
    if constexpr (requires { mutex.try_lock_shared_for(1ms); }) {
      SAYS_BOOL(mutex.try_lock_shared_for(20ms));
      SAYS_BOOL(mutex.try_lock_shared_until(std::chrono::steady_clock::now() + 20ms));
    }
  }).join();
  if (is_recursive) SAYS_STD(mutex.unlock());
  std::atomic<pid_t> tid{0};
  std::thread waiter([&] {
    tid = gettid();
    const std::unique_lock lock(mutex);
    say("got it");
  });
  until([&] { return tid != 0; });
  until_blocked(tid);
  say("release");
  mutex.unlock();
  waiter.join();
  if constexpr (requires { mutex.lock_shared(); }) {
    SAYS_STD(mutex.lock_shared());
    std::thread([&] {
      SAYS_BOOL(mutex.try_lock());
      SAYS_BOOL(mutex.try_lock_shared());
      SAYS_STD(mutex.unlock_shared());
    }).join();
    SAYS_STD(mutex.unlock_shared());
    SAYS_STD(mutex.lock());
    SAYS_STD(mutex.lock());
    SAYS_STD(mutex.lock_shared());
    SAYS_STD(mutex.unlock());
  }
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          const std::scoped_lock lock(mutex);
          count = count + 1;
        }
      });
  }
  say("count=" + std::to_string(count));
}

template <typename Mutex>
static void std_mutex() {
  Mutex mutex;
  std_locks(mutex);
}

template <typename Condition>
static void std_condition() {
  Condition condition;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  const auto never = [] { return false; };
  SAYS_STD(condition.notify_one());
  SAYS_STD(condition.notify_all());
  SAYS_BOOL(condition.wait_for(lock, 20ms, never));
  SAYS_BOOL(condition.wait_until(lock, std::chrono::system_clock::now() + 20ms, never));
  SAYS_BOOL(condition.wait_until(lock, std::chrono::steady_clock::now() + 20ms, never));
  SAYS_BOOL(condition.wait_for(lock, -1s, never));
  SAYS_BOOL(lock.owns_lock());
  int tickets = 0, woken = 0;
  const auto has_ticket = [&] { return tickets > 0; };
  const auto takes = [&](auto wait) {
    std::unique_lock own(mutex);
    wait(own);
    --tickets;
    ++woken;
    condition.notify_all();
  };
  {
    std::jthread one([&] { takes([&](auto& own) { condition.wait(own, has_ticket); }); }),
        two([&] { takes([&](auto& own) { condition.wait_for(own, 1000s, has_ticket); }); });
    tickets = 2;
    condition.notify_all();
    condition.wait(lock, [&] { return woken == 2; });
    say("woken=" + std::to_string(woken));
    lock.unlock();
  }
}

static void std_stop() {
  std::condition_variable_any condition;
  std::mutex mutex;
  std::jthread thread([&](const std::stop_token& token) {
    std::unique_lock lock(mutex);
    SAYS_BOOL(condition.wait(lock, token, [] { return false; }));
    SAYS_BOOL(token.stop_requested());
  });
  usleep(2000);
  say("stop");
  thread.request_stop();
  SAYS_STD(thread.join());
  SAYS_STD(thread.join());
  std::latch is_set(1);
  std::jthread self;
  self = std::jthread([&] {
    is_set.wait();
    SAYS_STD(self.join());
  });
  is_set.count_down();
}

static void std_latch_barrier() {
  std::latch latch(3);
  std::atomic<int> arrived{0}, early{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        ++arrived;
        latch.arrive_and_wait();
        if (arrived != 3) ++early;
      });
  }
  SAYS_RESULT(latch.try_wait());
  int phases = 0;
  std::barrier barrier(3, [&]() noexcept { ++phases; });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 1; i <= 5; ++i) {
          barrier.arrive_and_wait();
          if (phases < i) ++early;
        }
      });
  }
  say("phases=" + std::to_string(phases) + " early=" + std::to_string(early));
}

static void std_semaphore() {
  std::counting_semaphore<5> semaphore(2);
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT(semaphore.try_acquire());
  SAYS_RESULT(semaphore.try_acquire());
  SAYS_RESULT(semaphore.try_acquire_for(20ms));
  SAYS_RESULT(semaphore.try_acquire_until(std::chrono::system_clock::now() + 20ms));
  std::jthread thread([&] { semaphore.release(2); });
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT(semaphore.try_acquire());
}

static void std_futures() {
  auto future = std::async(std::launch::async, [] { return 5; });
  SAYS_RESULT(future.get());
  std::promise<int> promise;
  auto late = promise.get_future();
  SAYS_RESULT(late.wait_for(20ms) == std::future_status::timeout);
  std::jthread thread([&] { promise.set_value(6); });
  SAYS_RESULT(late.get());
  std::once_flag once;
  std::atomic<int> calls{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back([&] { std::call_once(once, [&] { ++calls; }); });
  }
  SAYS_RESULT(calls.load());
}
