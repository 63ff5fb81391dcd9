// Shows what programs do with allocations and few tests do. Arguments: how, a number, and one more for threads. How:
// nulls (that many blocks of two places, freed with free(NULL) in between), threads (that many at one time, and the
// blocks of each), children (that many, each of which allocates 10 MB), gives_up_rights (becomes nobody, and the reaper
// of its orphans if the number is 1; SIGUSR1 ends it).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_books.h"

enum { kThreads = 256, kChildBlocks = 200, kChildSize = 50000, kNobody = 65534 };

static struct Book first_book = {.function = "allocates_first"}, second_book = {.function = "allocates_second"},
                   changed_book = {.function = "reallocates_null"}, thread_book = {.function = "thread_allocates"},
                   child_book = {.function = "child_allocates"}, kept_book = {.function = "allocates_kept"};
static struct Book *const books[] = {&first_book, &second_book, &changed_book, &thread_book, &child_book, &kept_book};
static void *volatile null;
static long count;
static pthread_barrier_t barrier;

ALLOCATES(allocates_first, malloc(size))
ALLOCATES(allocates_second, malloc(size))
ALLOCATES(reallocates_null, realloc(null, size))
ALLOCATES(thread_allocates, malloc(size))
ALLOCATES(child_allocates, malloc(size))
ALLOCATES(allocates_kept, malloc(size))

static void *allocate(struct Book *book, void *(*function)(size_t)) {
  book_allocated(book, 0);
  return function(book->row[0].size);
}

static void release(struct Book *book, void *block) {
  book_freed(book, 0);
  free(block);
}

static void free_nulls(void) {
  void **first = calloc((size_t)count, sizeof(void *)), **second = calloc((size_t)count, sizeof(void *));
  for (long i = 0; i < count; ++i) {
    first[i] = allocate(&first_book, allocates_first);
    second[i] = allocate(&second_book, allocates_second);
  }
  // Of the first, all go; of the second, every third stays.
  for (long i = 0; i < count; ++i) {
    release(&first_book, first[i]);
    free(null);
  }
  for (int i = 0; i < 1000; ++i) {
    free(null);
    release(&changed_book, allocate(&changed_book, reallocates_null));
    allocate(&changed_book, reallocates_null);
  }
  for (long i = 0; i < count; ++i)
    if (i % 3) release(&second_book, second[i]);
  free(first);
  free(second);
}

static void *allocates(void *unused) {
  pthread_barrier_wait(&barrier);
  void *before = NULL;
  for (long i = 0; i < count; ++i) {
    void *block = allocate(&thread_book, thread_allocates);
    if (i % 100 == 0) continue;  // it stays
    if (before) release(&thread_book, before);
    before = block;
  }
  pthread_barrier_wait(&barrier);
  return unused;
}

static void run_threads(int threads) {
  pthread_t ids[kThreads];
  if (threads > kThreads) abort();
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 0; i < threads; ++i)
    if (pthread_create(&ids[i], NULL, allocates, NULL) != 0) abort();
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
}

static void run_children(long children) {
  // The parent has sampled something, as one that gets ready for its workers has.
  for (int i = 0; i < kChildBlocks; ++i) free(allocates_kept(kChildSize));
  for (long i = 0; i < children; ++i) {
    if (fork() == 0) {
      for (int j = 0; j < kChildBlocks; ++j) allocate(&child_book, child_allocates);
      exit(0);
    }
  }
  int status;
  while (wait(&status) > 0)
    if (status != 0) abort();
  for (int j = 0; j < kChildBlocks; ++j) book_allocated(&child_book, 0);  // of each
}

static void give_up_rights(int is_reaper) {
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &end, NULL);
  for (int i = 0; i < 100; ++i) allocate(&kept_book, allocates_kept);
  if (is_reaper) prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (setgroups(0, NULL) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) abort();
  printf("ready\n");
  fflush(stdout);
  int number;
  sigwait(&end, &number);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *how = argv[1];
  const long number = atol(argv[2]);
  row_of(&first_book, 24);
  row_of(&second_book, 40);
  row_of(&changed_book, 56);
  row_of(&thread_book, 72);
  row_of(&child_book, kChildSize);
  row_of(&kept_book, 1000);
  count = (long)argument(argc, argv, 3, 0);
  if (strcmp(how, "nulls") == 0) {
    count = number;
    free_nulls();
  }
  if (strcmp(how, "threads") == 0) run_threads((int)number);
  if (strcmp(how, "children") == 0) run_children(number);
  if (strcmp(how, "gives_up_rights") == 0) give_up_rights((int)number);
  printf("{");
  print_books("books", books, sizeof books / sizeof books[0]);
  printf("}\n");
}
