// The calls in a signal handler, on a stack of its own: handler/on_own_stack.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

#include "harness.h"

static pthread_mutex_t handler_mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t handler_sem;
static int handler_results[5];

static void handler_locks(int) {
  handler_results[0] = pthread_mutex_lock(&handler_mutex);
  handler_results[1] = pthread_mutex_trylock(&handler_mutex);
  handler_results[2] = pthread_mutex_unlock(&handler_mutex);
  handler_results[3] = sem_post(&handler_sem);
  handler_results[4] = errno;
}

// In the kernel's own order: raised by the thread, and sent to one that waits.
static void handler_on_own_stack() {
  std::vector<char> memory(static_cast<size_t>(sysconf(_SC_SIGSTKSZ)));
  sem_init(&handler_sem, 0, 0);
  struct sigaction action {};
  action.sa_handler = handler_locks;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
  const auto results = [] {
    std::string words;
    for (int& result : handler_results) words += " " + named(result), result = -9;
    say("handler:" + words);
  };
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<bool> waits{false};
  pthread_mutex_lock(&mutex);
  Thread thread([&] {
    const stack_t stack{.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
    SAYS(sigaltstack(&stack, nullptr));
    SAYS(raise(SIGUSR1));
    results();
    say("waits");
    errno = kMark;
    waits = true;
    const std::string words = answer([&] { return pthread_mutex_lock(&mutex); });
    results();
    say("got " + words);
    SAYS(pthread_mutex_unlock(&mutex));
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    SAYS(sigaltstack(&none, nullptr));
  });
  until([&] { return waits && sem_trywait(&handler_sem) == 0; });
  until_blocked(thread.tid());
  pthread_kill(thread.id, SIGUSR1);
  until([] { return sem_trywait(&handler_sem) == 0; });
  say("value=" + std::to_string(value_of(&handler_sem)));
  pthread_mutex_unlock(&mutex);
  thread.join();
}
