// Shows allocations at every time of a process: constructors, main, threads, destructors of thread-local objects and
// of keys, exit handlers, static objects, destructors. Each stage writes a line; nothing of stdio. A stage's
// function has the stage's name; each allocates 10 blocks of 100 bytes each time and frees 5 that an earlier stage
// allocated. Takes what the library `heap_early` allocated before, if it is there. Argument: how to end (return,
// exit, quick, thread).
// build: -O2 -fomit-frame-pointer -pthread
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "heap_books.h"

static void* blocks[1000];
static int count, freed;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void says(const char* text) {
  if (write(1, text, strlen(text)) < 0) abort();
}

static void stage(const char* name, void* (*allocate)(size_t)) {
  pthread_mutex_lock(&mutex);
  int intact = 1;
  for (int i = 0; i < 10; ++i) {
    blocks[count] = allocate(100);
    memset(blocks[count], count % 100, 100);
    ++count;
  }
  for (int i = 0; i < 5; ++i, ++freed) {
    for (int j = 0; j < 100; ++j) intact &= static_cast<char*>(blocks[freed])[j] == freed % 100;
    free(blocks[freed]);
  }
  pthread_mutex_unlock(&mutex);
  says(name);
  says(intact ? ": intact\n" : ": BROKEN\n");
}

#define STAGE(name)                         \
  ALLOCATES(name##_allocates, malloc(size)) \
  static void name() { stage(#name, name##_allocates); }

STAGE(constructor)
STAGE(static_constructor)
STAGE(in_main)
STAGE(in_thread)
STAGE(thread_local_destructor)
STAGE(key_destructor)
STAGE(exit_handler)
STAGE(quick_exit_handler)
STAGE(static_destructor)
STAGE(destructor)

__attribute__((constructor)) static void construct() { constructor(); }
__attribute__((destructor)) static void destruct() { destructor(); }

static struct Static {
  Static() { static_constructor(); }
  ~Static() { static_destructor(); }
} static_object;

struct Local {
  int used = 0;
  ~Local() { thread_local_destructor(); }
};
static thread_local Local local;

static pthread_key_t key;

// glibc calls it again as long as it sets the key again, four times at most.
static void destroy_key(void* value) {
  key_destructor();
  const auto rounds = reinterpret_cast<long>(value);
  if (rounds > 1) pthread_setspecific(key, reinterpret_cast<void*>(rounds - 1));
}

static void* thread(void*) {
  ++local.used;
  pthread_setspecific(key, reinterpret_cast<void*>(3L));
  in_thread();
  return nullptr;
}

static void* thread_that_ends_the_process(void*) { exit(0); }

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "return";
  ++local.used;
  in_main();
  atexit(exit_handler);
  at_quick_exit(quick_exit_handler);
  pthread_key_create(&key, destroy_key);
  for (int i = 0; i < 3; ++i) {
    pthread_t id;
    pthread_create(&id, nullptr, thread, nullptr);
    pthread_join(id, nullptr);
  }
  void* early[300];
  auto hand_over = reinterpret_cast<int (*)(void**, int)>(dlsym(RTLD_DEFAULT, "early_hand_over"));
  const int some = hand_over ? hand_over(early, 300) : 0;
  for (int i = 0; i < some; ++i) {
    if (i % 3 == 0) early[i] = realloc(early[i], 3000);
    free(early[i]);
  }
  if (some) says("handed over\n");
  if (strcmp(how, "exit") == 0) exit(0);
  if (strcmp(how, "quick") == 0) quick_exit(0);
  if (strcmp(how, "thread") == 0) {
    pthread_t id;
    pthread_create(&id, nullptr, thread_that_ends_the_process, nullptr);
    pthread_join(id, nullptr);
  }
  return 0;
}
