// Calls prof.h from C, and says as JSON what each call answered. Arguments: what, a folder.
// build: -std=gnu99 -pthread -I preload
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prof.h"
#include "victim.h"

// As gperftools' header has them, but for programs that run without it too.
extern int ProfilerStart(const char *path) __attribute__((weak));
extern void ProfilerStop(void) __attribute__((weak));
extern void ProfilerFlush(void) __attribute__((weak));

BURNER(before, 6364136223846793005u)
BURNER(during, 2862933555777941757u)
BURNER(after, 3202034522624059733u)

static const char *folder;
static int answers;

static const char *in_folder(const char *name) {
  static char path[4096];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  return path;
}

static int said(const char *call, int answer) {
  printf("%s\"%s\": %d", answers++ == 0 ? "{" : ", ", call, answer);
  return answer;
}

static void *burn_in_thread(void *unused) {
  (void)unused;
  during(milliseconds(300));
  return NULL;
}

// One profile after the other, of this thread and one made before.
static void cpu(void) {
  pthread_t thread;
  before(milliseconds(200));
  said("stop before", prof_stop_cpu());
  said("flush before", prof_write("cpu", in_folder("none.prof")));
  said("start", prof_start_cpu(in_folder("first.prof")));
  said("start again", prof_start_cpu(in_folder("second.prof")));
  said("rate while on", prof_set_rate("cpu", 1000));
  pthread_create(&thread, NULL, burn_in_thread, NULL);
  during(milliseconds(300));
  pthread_join(thread, NULL);
  said("so far", prof_write("cpu", in_folder("sofar.prof")));
  said("stop", prof_stop_cpu());
  said("stop again", prof_stop_cpu());
  after(milliseconds(200));
  said("rate", prof_set_rate("cpu", 250));
  int fd = open(in_folder("second.prof"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  said("start fd", prof_start_cpu_fd(fd));
  after(milliseconds(300));
  said("stop fd", prof_stop_cpu());
  close(fd);
  said("bad folder", prof_start_cpu("/nonexistent/cpu.prof"));
  said("null", prof_start_cpu(NULL));
  said("bad fd", prof_start_cpu_fd(999));
  said("unfinished", prof_start_cpu("unfinished.prof"));
  after(milliseconds(100));
}

void *kept[1000];

PLAIN_NAME NOT_INLINED void allocate(size_t bytes, int count) {
  for (int i = 0; i < count; ++i) kept[i] = malloc(bytes);
  NOT_A_TAIL_CALL();
}
PLAIN_NAME NOT_INLINED void allocate_unseen(size_t bytes) {
  free(malloc(bytes));
  NOT_A_TAIL_CALL();
}

static void heap(void) {
  said("off", prof_write("heap", in_folder("off.prof")));
  allocate_unseen(2000000);
  said("on", prof_set_rate("heap", 1));
  allocate(1000, 100);
  said("first", prof_write("heap", in_folder("heap1.prof")));
  said("paused", prof_pause());
  allocate_unseen(3000000);
  for (int i = 0; i < 40; ++i) free(kept[i]);
  said("resumed", prof_resume());
  said("second", prof_write("heap", in_folder("heap2.prof")));
  // Another rate: what was recorded stays what it was.
  said("rate", prof_set_rate("heap", PROF_RATE_HEAP));
  allocate(20000, 1000);
  said("third", prof_write("allocs", in_folder("allocs.prof")));
  said("stopped", prof_set_rate("heap", 0));
  for (int i = 0; i < 1000; ++i) free(kept[i]);
  allocate_unseen(500000000);
  said("fourth", prof_write("heap", in_folder("heap3.prof")));
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *wait_for_lock(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  pthread_mutex_unlock(&lock);
  return NULL;
}
static void contend(void) {
  pthread_t thread;
  pthread_mutex_lock(&lock);
  pthread_create(&thread, NULL, wait_for_lock, NULL);
  usleep(60000);
  pthread_mutex_unlock(&lock);
  pthread_join(thread, NULL);
}

static void *sleep_long(void *unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

static void others(void) {
  pthread_t thread;
  contend();
  said("block off", prof_write("block", in_folder("off.prof")));
  said("block on", prof_set_rate("block", 1));
  said("mutex on", prof_set_rate("mutex", 1));
  said("wall on", prof_set_rate("wall", 100));
  contend();
  contend();
  pthread_create(&thread, NULL, sleep_long, NULL);
  usleep(300000);
  said("block", prof_write("block", in_folder("block.prof")));
  said("mutex", prof_write("mutex", in_folder("mutex.prof")));
  said("wall", prof_write("wall", in_folder("wall.prof")));
  said("threadcreate", prof_write("threadcreate", in_folder("threadcreate.prof")));
  int fd = open(in_folder("stacks.prof"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  said("goroutine", prof_write_fd("goroutine", fd));
  close(fd);
  said("unknown kind", prof_write("nonsense", in_folder("off.prof")));
  said("no rate", prof_set_rate("stacks", 1));
  said("negative", prof_set_rate("block", -1));
  int ends[2];
  if (pipe(ends) != 0) return;
  close(ends[0]);
  said("broken pipe", prof_write_fd("stacks", ends[1]));
  said("read only", prof_write_fd("stacks", open("/dev/null", O_RDONLY)));
}

static void aliases(void) {
  said("present", ProfilerStart != NULL);
  if (ProfilerStart == NULL) return;
  said("start", ProfilerStart(in_folder("first.prof")));
  during(milliseconds(200));
  ProfilerFlush();
  said("flushed", access(in_folder("first.prof"), R_OK));
  after(milliseconds(200));
  ProfilerStop();
}

// The child has a recording of its own, and no profile that goes on.
static void forks(void) {
  said("start", prof_start_cpu(in_folder("parent.prof")));
  during(milliseconds(100));
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const int stopped = prof_stop_cpu();
    const int started = prof_start_cpu(in_folder("child.prof"));
    after(milliseconds(200));
    _exit(stopped == PROF_OFF && started == PROF_OK && prof_stop_cpu() == PROF_OK ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  said("child", status);
  said("stop", prof_stop_cpu());
}

// Many at once, and the end in the middle of it.
enum { kCallers = 4 };
static volatile unsigned rounds[kCallers];

static void *calls(void *caller) {
  const long number = (long)caller;
  char name[64];
  snprintf(name, sizeof(name), "storm%ld.prof", number);
  for (unsigned i = 0;; ++i) {
    prof_start_cpu(name);
    prof_label_set("turn", i % 2 ? "odd" : "even");
    free(malloc(5000));
    prof_write(i % 3 ? "heap" : "stacks", name);
    if (i % 5 == 0) prof_pause();
    prof_resume();
    prof_set_rate("heap", i % 7 ? 1000 : 0);
    prof_stop_cpu();
    rounds[number] = i + 1;
  }
  return NULL;
}
static void storm(void) {
  for (long i = 0; i < kCallers; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, calls, (void *)i);
  }
  for (int i = 0; i < 5; ++i) {
    usleep(40000);
    const pid_t child = fork();
    if (child == 0) exit(prof_start_cpu("child.prof") == PROF_BUSY);
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0) said("child", status);
  }
  // On a busy machine one of them may not have come to its turn yet.
  for (int i = 0; i < kCallers; ++i)
    while (rounds[i] == 0) usleep(1000);
}

static void texts(void) {
  said("loaded", prof_is_loaded());
  said("version", prof_version() == NULL ? 0 : (int)strlen(prof_version()));
  said("label", prof_label_set("route", "/"));
  said("reserved", prof_label_set("thread", "x"));
  said("no key", prof_label_set(NULL, "x"));
  said("start", prof_start_cpu(in_folder("first.prof")));
  said("stop", prof_stop_cpu());
  said("write", prof_write("heap", in_folder("heap.prof")));
  said("rate", prof_set_rate("heap", 1));
  said("pause", prof_pause());
  said("resume", prof_resume());
  for (int error = 0; error > -10; --error) {
    if (strcmp(prof_error_text(error), "unknown error") == 0) said("error without a text", error);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "texts";
  folder = argc > 2 ? argv[2] : ".";
  errno = 0;
  if (strcmp(what, "cpu") == 0) cpu();
  if (strcmp(what, "heap") == 0) heap();
  if (strcmp(what, "others") == 0) others();
  if (strcmp(what, "aliases") == 0) aliases();
  if (strcmp(what, "fork") == 0) forks();
  if (strcmp(what, "storm") == 0) storm();
  if (strcmp(what, "texts") == 0) texts();
  if (answers == 0) printf("{");
  printf("}\n");
  return 0;
}
