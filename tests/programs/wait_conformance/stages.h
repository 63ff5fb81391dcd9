// The calls before main and after it, and while a thread ends (the case thread_ends): each stage prints its own line.
// main() has the exit handler, and names its own thread_object.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include <string>

#include "harness.h"

static void run_stage(const char* name) {
  current_case = name;
  static pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  SAYS(pthread_mutex_lock(&mutex));
  SAYS(pthread_mutex_lock(&mutex));
  const timespec end = at(CLOCK_REALTIME, When::kAhead);
  SAYS(pthread_cond_timedwait(&cond, &mutex, &end));
  SAYS(pthread_rwlock_wrlock(&rwlock));
  SAYS(pthread_rwlock_rdlock(&rwlock));
  SAYS(sem_init(&sem, 0, 0));
  Thread thread([&] {
    SAYS(pthread_mutex_trylock(&mutex));
    SAYS(pthread_rwlock_tryrdlock(&rwlock));
    const std::string posted = answer([&] { return sem_post(&sem); });
    const std::string words = answer([&] { return pthread_mutex_lock(&mutex); });
    say("got " + words + " post=" + posted);
    SAYS(pthread_cond_signal(&cond));
    SAYS(pthread_mutex_unlock(&mutex));
  });
  SAYS(sem_wait(&sem));
  until_blocked(thread.tid());
  say("release");
  const std::string words = answer([&] { return pthread_mutex_unlock(&mutex); });
  say("->" + text_of(thread.join()) + " release=" + words);
  SAYS(pthread_rwlock_unlock(&rwlock));
  end_line(name);
}

struct AtEnd {
  explicit AtEnd(const char* name) : name_(name) {}
  ~AtEnd() { run_stage(name_); }
  const char* name_;
};

static AtEnd static_object("static destructor");
static thread_local AtEnd thread_object("thread-local destructor");
__attribute__((constructor)) static void constructed() { run_stage("constructor"); }
__attribute__((destructor)) static void destructed() { run_stage("destructor"); }

static void thread_ends() {
  pthread_key_t key;
  pthread_key_create(&key, [](void*) { run_stage("key destructor"); });
  in_thread([&] {
    pthread_setspecific(key, &key);
    thread_object.name_ = "thread-local destructor of a thread";
  });
  pthread_key_delete(key);
}
