// Shows a heap at moments that are known: a batch of allocations, then the signal, then nothing until the snapshot's
// file is there. Prints the books of every moment, and what the process looks like from inside before and after
// (threads, files, children, interrupted calls). Arguments: folder, snapshots, signal, and how the signal finds the
// program: plain; blocked (the program allocates on then, one block at a time); ignored; hurried (no waiting: exits
// at once after the last signal).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_books.h"

static struct Book kept_book = {.function = "allocates_kept"}, brief_book = {.function = "allocates_brief"},
                   once_book = {.function = "allocates_once"}, prodded_book = {.function = "allocates_prodded"};
static struct Book *const books[] = {&kept_book, &brief_book, &once_book, &prodded_book};
static const char *how;
static int child_signals;

ALLOCATES(allocates_kept, malloc(size))
ALLOCATES(allocates_brief, malloc(size))
ALLOCATES(allocates_once, calloc(size, 1))
ALLOCATES(allocates_prodded, malloc(size))

static void *take(void *(*function)(size_t), struct Book *book, size_t size) {
  void *block = function(size);
  if (!block) abort();
  book_allocated(book, row_of(book, size));
  return block;
}

static void let_go(void *block, struct Book *book, size_t size) {
  book_freed(book, row_of(book, size));
  free(block);
}

// Without a call that allocates.
static int entries(const char *folder) {
  static char buffer[1 << 16];
  const int file = open(folder, O_RDONLY | O_DIRECTORY);
  int count = 0;
  for (ssize_t size; (size = getdents64(file, buffer, sizeof buffer)) > 0;)
    for (ssize_t at = 0; at < size; at += ((struct dirent64 *)(buffer + at))->d_reclen) ++count;
  close(file);
  return count;
}

static void on_child(int signal) { child_signals += signal == SIGCHLD; }

static void batch(int number) {
  static void *once;
  for (int i = 0; i < 200; ++i) {
    take(allocates_kept, &kept_book, 10 + 10 * (size_t)(i % 30));
    let_go(take(allocates_brief, &brief_book, 100 + (size_t)i % 40), &brief_book, 100 + (size_t)i % 40);
  }
  if (once) let_go(once, &once_book, 1000 * (size_t)(number - 1));
  once = take(allocates_once, &once_book, 1000 * (size_t)number);
}

static int wait_for(const char *path) {
  for (int i = 0; access(path, F_OK) != 0; ++i) {
    if (i == 60000) return 0;
    nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
    if (strcmp(how, "blocked") == 0) take(allocates_prodded, &prodded_book, 50);
  }
  return 1;
}

static int wanted_signal;
static int other_stops;
static void *other_thread(void *unused) {
  while (!__atomic_load_n(&other_stops, __ATOMIC_RELAXED)) nanosleep((const struct timespec[]){{0, 5000000}}, NULL);
  return unused;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  const int snapshots = atoi(argv[2]);
  wanted_signal = atoi(argv[3]);
  how = argv[4];
  char path[1000];
  pthread_t other;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, wanted_signal);
  signal(SIGCHLD, on_child);
  if (strcmp(how, "blocked") == 0) {
    sigprocmask(SIG_BLOCK, &set, NULL);
    pthread_create(&other, NULL, other_thread, NULL);  // blocks it, too
  }
  if (strcmp(how, "ignored") == 0) signal(wanted_signal, SIG_IGN);
  struct sigaction action;
  sigaction(wanted_signal, NULL, &action);
  const int threads_before = entries("/proc/self/task"), files_before = entries("/proc/self/fd");
  int seen = 0;
  printf("{\"states\": [");
  for (int i = 1; i <= snapshots; ++i) {
    batch(i);
    printf("%s{", i == 1 ? "" : ", ");
    print_books("books", books, 4);
    printf("}");
    kill(getpid(), wanted_signal);
    if (strcmp(how, "hurried") == 0) continue;
    snprintf(path, sizeof path, "%s/heap.%d.prof", argv[1], i);
    seen += wait_for(path);
    // The file is there before the process that wrote it has gone, and a signal before that is one too many.
    nanosleep((const struct timespec[]){{0, 200000000}}, NULL);
  }
  const int threads_after = entries("/proc/self/task"), files_after = entries("/proc/self/fd");
  errno = 0;
  const int child = waitpid(-1, NULL, WNOHANG), child_error = errno;
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, NULL, &blocked);
  printf("], \"seen\": %d, \"threads\": [%d, %d], \"files\": [%d, %d], ", seen, threads_before - 2, threads_after - 2,
         files_before, files_after);
  printf("\"no_child\": %d, \"child_signals\": %d, \"default_action\": %d, \"blocked\": %d, ",
         child == -1 && child_error == ECHILD, child_signals, action.sa_handler == SIG_DFL,
         sigismember(&blocked, wanted_signal));
  if (strcmp(how, "blocked") == 0) {
    __atomic_store_n(&other_stops, 1, __ATOMIC_RELAXED);
    pthread_join(other, NULL);
  }
  errno = 0;
  printf("\"unshare\": %d, ", strcmp(how, "plain") == 0 ? (unshare(CLONE_NEWUSER), errno) : -1);
  print_books("books", books, 4);
  printf("}\n");
}
