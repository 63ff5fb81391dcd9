// Ends while all that libprof can be asked for goes on: profiles by calls, labels, snapshots by signal, whatever a client of PROF_HTTP asks for.
// Arguments: a seed, how it ends. Says on stdout that it is ready; a line on stdin lets it end within 30 ms, with the seed's exit code.
//   return  from main      exit  from main      other  by exit from another thread      last  the main thread first
//   fork    from main, and its child at the same moment
//   stuck   at once, while a thread writes a profile to a disk that does not answer
// build: -pthread -rdynamic -I preload
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "prof.h"
#include "victim.h"

static uint64_t seed;
static int code;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t started;

static void some_time(uint64_t *chance, unsigned most_us) { usleep(next_number(chance) % most_us); }

// libprof's calls come here too.
static pthread_barrier_t syncing;
static volatile int is_stuck;
int fsync(int fd) {
  if (!is_stuck) return (int)syscall(SYS_fsync, fd);
  pthread_barrier_wait(&syncing);
  for (;;) pause();
}
static void *write_for_ever(void *unused) {
  prof_write("stacks", "written.prof");
  return unused;
}
static int end_stuck(void) {
  pthread_t thread;
  is_stuck = 1;
  pthread_barrier_init(&syncing, NULL, 2);
  pthread_create(&thread, NULL, write_for_ever, NULL);
  pthread_barrier_wait(&syncing);
  puts(access("written.prof", F_OK) == 0 ? "written" : "not written");
  return code;
}

// One profile after the other, and labels. The library is told what to write, the names are this thread's own.
static void *call(void *number) {
  static const char *const kinds[] = {"heap", "allocs", "block", "mutex", "threadcreate", "stacks", "cpu"};
  uint64_t chance = seed + (uint64_t)(size_t)number * 1000;
  char cpu[32];
  char other[32];
  snprintf(cpu, sizeof(cpu), "started%zu.prof", (size_t)number);
  snprintf(other, sizeof(other), "written%zu.prof", (size_t)number);
  pthread_barrier_wait(&started);
  for (;;) {
    const uint32_t draw = next_number(&chance);
    prof_label_set("draw", draw % 2 ? "odd" : "even");
    switch (draw / 2 % 6) {
      case 0:
        prof_start_cpu(cpu);
        break;
      case 1:
        prof_stop_cpu();
        break;
      case 2:
        prof_set_rate("block", draw % 3 * 1000);
        prof_set_rate("heap", draw % 5 ? 10000 : 0);
        break;
      case 3:
        prof_pause();
        prof_label_clear_all();
        prof_resume();
        break;
      default:
        prof_write(kinds[draw / 12 % (sizeof(kinds) / sizeof(*kinds))], other);
        break;
    }
    some_time(&chance, 3000);
  }
  return NULL;
}

// What there is to be recorded: allocations, waits, a thread now and then.
static void *nothing(void *unused) { return unused; }
static void *work(void *number) {
  uint64_t chance = seed + (uint64_t)(size_t)number * 1000;
  pthread_barrier_wait(&started);
  for (;;) {
    free(malloc(next_number(&chance) % 100000));
    pthread_mutex_lock(&lock);
    some_time(&chance, 500);
    pthread_mutex_unlock(&lock);
    pthread_t thread;
    if (next_number(&chance) % 8 == 0 && pthread_create(&thread, NULL, nothing, NULL) == 0) pthread_join(thread, NULL);
  }
  return NULL;
}

static void *end(void *unused) {
  uint64_t chance = seed;
  some_time(&chance, 30000);
  exit(code);
  return unused;
}

int main(int argc, char **argv) {
  enum { kCallers = 3, kWorkers = 2 };
  const char *how = argc > 2 ? argv[2] : "return";
  pthread_t thread;
  char line[8];
  seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
  code = (int)(seed % 100) + 1;
  if (strcmp(how, "stuck") == 0) return end_stuck();
  pthread_barrier_init(&started, NULL, kCallers + kWorkers + 1);
  for (size_t i = 1; i <= kCallers; ++i) pthread_create(&thread, NULL, call, (void *)i);
  for (size_t i = 1; i <= kWorkers; ++i) pthread_create(&thread, NULL, work, (void *)(kCallers + i));
  pthread_barrier_wait(&started);
  if (write(1, "ready\n", 6) != 6 || !fgets(line, sizeof(line), stdin)) return 0;
  if (strcmp(how, "other") == 0 || strcmp(how, "last") == 0) {
    pthread_create(&thread, NULL, end, NULL);
    if (strcmp(how, "last") == 0) pthread_exit(NULL);
    for (;;) pause();
  }
  if (strcmp(how, "fork") == 0 && fork() == 0) end(NULL);
  if (strcmp(how, "return") != 0) end(NULL);
  uint64_t chance = seed;
  some_time(&chance, 30000);
  return code;
}
