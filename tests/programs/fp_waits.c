// A program whose every function keeps a frame pointer waits for a mutex that another thread holds: the stack of the wait goes from
// libprof's code, which keeps none, into the program's.
// build: -fno-omit-frame-pointer -fno-optimize-sibling-calls
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t is_held;

static void* holds_for_long(void* none) {
  pthread_mutex_lock(&lock);
  pthread_barrier_wait(&is_held);
  usleep(50000);
  pthread_mutex_unlock(&lock);
  return none;
}

__attribute__((noinline)) static void waits_here(void) {
  pthread_mutex_lock(&lock);
  pthread_mutex_unlock(&lock);
}

__attribute__((noinline)) static void calls_it(void) {
  waits_here();
  __asm__ volatile("");
}

int main(void) {
  pthread_t holder;
  pthread_barrier_init(&is_held, NULL, 2);
  pthread_create(&holder, NULL, holds_for_long, NULL);
  pthread_barrier_wait(&is_held);
  calls_it();
  pthread_join(holder, NULL);
  puts("{\"done\": 1}");
  return 0;
}
