// Threads that return, exit, are cancelled, are detached, and throw away their values; main ends by pthread_exit.
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "burn.h"

struct Guard {
  ~Guard() { BURN(0.01); }
};
static thread_local Guard t_guard;
static void* returns(void* argument) { BURN(0.02); (void)&t_guard; return argument; }
static void* exits(void* argument) { BURN(0.02); pthread_exit(argument); }
static void* waits(void*) { for (;;) pause(); }
static void* detached(void*) { BURN(0.02); return nullptr; }

int main() {
  long sum = 0;
  for (long i = 1; i <= 20; ++i) {
    pthread_t a;
    pthread_t b;
    pthread_t c;
    pthread_t d;
    void* value = nullptr;
    pthread_create(&a, nullptr, returns, reinterpret_cast<void*>(i));
    pthread_create(&b, nullptr, exits, reinterpret_cast<void*>(i));
    pthread_create(&c, nullptr, waits, nullptr);
    pthread_create(&d, nullptr, detached, nullptr);
    pthread_detach(d);
    pthread_join(a, &value);
    sum += reinterpret_cast<long>(value);
    pthread_join(b, &value);
    sum += reinterpret_cast<long>(value);
    pthread_cancel(c);
    pthread_join(c, &value);
    sum += value == PTHREAD_CANCELED ? 1 : 0;
  }
  printf("sum %ld\n", sum);
  fflush(stdout);
  pthread_exit(nullptr);
}
