// pthread_create with attributes of all sorts: create/refused, create/smallest, create/on_own_stack, create/detached.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "harness.h"

static void create_refused() {
  pthread_attr_t attributes;
  pthread_t id;
  std::atomic<int> ran{0};
  const auto refused = [&](const char* name) {
    says(name, [&] {
      return pthread_create(
          &id, &attributes, [](void* ran) -> void* { return ++*static_cast<std::atomic<int>*>(ran), nullptr; }, &ran);
    });
    pthread_attr_destroy(&attributes);
    pthread_attr_init(&attributes);
  };
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setstacksize(&attributes, 1024));
  SAYS(pthread_attr_setstacksize(&attributes, size_t{1} << 46));
  refused("huge stack");
  SAYS(pthread_attr_setguardsize(&attributes, SIZE_MAX));
  refused("huge guard");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(CPU_SETSIZE - 1, &cpus);
  SAYS(pthread_attr_setaffinity_np(&attributes, sizeof cpus, &cpus));
  refused("no such processor");
  say("ran=" + std::to_string(ran));
}

// It has no room for more than what it does.
struct Small {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  int results[10];
  timespec end;
};
static void* small_thread(void* argument) {
  auto* small = static_cast<Small*>(argument);
  int* result = small->results;
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_cond_timedwait(&small->cond, &small->mutex, &small->end);
  *result++ = pthread_cond_signal(&small->cond);
  *result++ = pthread_mutex_unlock(&small->mutex);
  *result++ = sem_wait(&small->sem);
  *result++ = sem_post(&small->sem);
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_mutex_unlock(&small->mutex);
  *result++ = pthread_mutex_unlock(&small->mutex);
  return argument;
}

static void create_smallest() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  const size_t least = static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
  SAYS(pthread_attr_setstacksize(&attributes, least));
  for (int i = 0; i < 3; ++i) {
    Small small;
    sem_init(&small.sem, 0, 0);
    small.end = at(CLOCK_REALTIME, When::kAhead);
    pthread_mutex_lock(&small.mutex);
    pthread_t id;
    void* value = nullptr;
    SAYS(pthread_create(&id, &attributes, small_thread, &small));
    usleep(2000);
    SAYS(pthread_mutex_unlock(&small.mutex));
    SAYS(sem_post(&small.sem));
    SAYS(pthread_join(id, &value));
    say(value == &small ? "its value" : "another value");
    for (const int result : small.results) say(named(result));
  }
  pthread_attr_destroy(&attributes);
}

// In memory of the program's, of the least size.
static void create_on_own_stack() {
  const size_t size = std::max<size_t>(static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN)), 32768);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setstack(&attributes, memory, size));
  pthread_t id;
  void* value = nullptr;
  SAYS(pthread_create(&id, &attributes, returns_41, nullptr));
  SAYS(pthread_join(id, &value));
  say(text_of(value));
  SAYS(pthread_create(&id, &attributes, exits_with_42, nullptr));
  SAYS(pthread_join(id, &value));
  say(text_of(value));
  munmap(memory, size);
}

static void create_detached() {
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
  Thread thread(
      [&] {
        int state = -1;
        pthread_attr_t own;
        SAYS(pthread_getattr_np(pthread_self(), &own));
        SAYS(pthread_attr_getdetachstate(&own, &state));
        pthread_attr_destroy(&own);
        say(state == PTHREAD_CREATE_DETACHED ? "detached" : "joinable");
        sem_post(&sem);
      },
      &attributes);
  thread.is_joined = true;
  SAYS(sem_wait(&sem));
}
