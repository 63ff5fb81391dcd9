// Shows a process that forks again and again while threads allocate; each child allocates blocks of its own, frees
// some that it has inherited, and ends. Prints the parent's books and what each child allocated. Arguments: folder,
// forks, threads that allocate, threads that fork, and how: exit, _exit, mixed, raw (a bare fork system call),
// raw_then_fork (whose child forks properly), grandchild, snapshot (the child asks for one), asks (the parent does,
// now and then), exec, vfork, spawn, vfork_exits.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_books.h"

enum { kThreads = 8, kMost = 20000, kMine = 200 };
static struct Book other_books[kThreads], parent_books[kThreads];
static const char *folder, *how;
static long forks_each;
static int stops;
static char **words;
extern char **environ;

ALLOCATES(parent_allocates, malloc(size))
ALLOCATES(other_allocates, malloc(size))
ALLOCATES(child_allocates, malloc(size))
ALLOCATES(grandchild_allocates, malloc(size))

static struct {
  pid_t pid;
  int blocks, size, ended;
} children[kMost];
static int child_count;

static int is(const char *name) { return strcmp(how, name) == 0; }

static void *other_thread(void *number) {
  struct Book *book = &other_books[(long)number];
  uint64_t state = 5 + (uint64_t)(long)number;
  struct {
    void *block;
    int row;
  } mine[kMine] = {0};
  while (!__atomic_load_n(&stops, __ATOMIC_RELAXED)) {
    const int slot = next_number(&state) % kMine, row = next_number(&state) % book->rows;
    if (mine[slot].block) {
      book_freed(book, mine[slot].row);
      free(mine[slot].block);
    }
    mine[slot].block = other_allocates(book->row[row].size);
    mine[slot].row = row;
    book_allocated(book, row);
    // Forking is what this is about: leave the processors to it.
    if (next_number(&state) % 64 == 0) nanosleep((const struct timespec[]){{0, 20000}}, NULL);
  }
  return NULL;
}

// In the child, of the parent's blocks.
static int inherited(char **blocks) {
  int intact = 1;
  for (int i = 0; i < kMine; ++i) {
    if (!blocks[i]) continue;
    for (int j = 0; j < 100; ++j) intact &= blocks[i][j] == i % 100;
    if (i % 3 == 0) free(blocks[i]);
    if (i % 3 == 1) blocks[i] = realloc(blocks[i], 300);
  }
  return intact;
}

static void allocate(void *(*function)(size_t), int blocks, int size) {
  void *all[16];
  for (int i = 0; i < blocks; ++i) {
    all[i] = function((size_t)size);
    memset(all[i], 3, (size_t)size);
  }
  for (int i = 0; i < blocks / 2; ++i) free(all[i]);
}

static void child(int index, char **blocks) {
  const int intact = inherited(blocks);
  allocate(child_allocates, children[index].blocks, children[index].size);
  if (is("grandchild") || is("raw_then_fork")) {
    const pid_t pid = fork();
    if (pid == 0) {
      allocate(grandchild_allocates, 3, 77);
      exit(7);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7) _exit(9);
  }
  if (is("snapshot")) {
    char path[1000];
    snprintf(path, sizeof path, "%s/heap.%d.1.prof", folder, (int)getpid());
    kill(getpid(), SIGUSR2);
    for (int i = 0; access(path, F_OK) != 0 && i < 20000; ++i) nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
    if (access(path, F_OK) != 0) _exit(10);
  }
  if (is("exec")) {
    execv(words[0], words);
    _exit(11);
  }
  if (is("_exit") || (is("mixed") && index % 2)) _exit(intact ? 7 : 8);
  exit(intact ? 7 : 8);
}

static pid_t start(int index, char **blocks) {
  pid_t pid = -1;
  if (is("spawn")) return posix_spawn(&pid, words[0], NULL, NULL, words, environ) == 0 ? pid : -1;
  if (is("vfork") || is("vfork_exits")) {
    pid = vfork();
    if (pid == 0) {
      if (is("vfork")) execv(words[0], words);
      _exit(7);
    }
    return pid;
  }
  pid = strncmp(how, "raw", 3) == 0 ? (pid_t)syscall(SYS_fork) : fork();
  if (pid == 0) child(index, blocks);
  return pid;
}

static void *forking_thread(void *number) {
  struct Book *book = &parent_books[(long)number];
  uint64_t state = 50 + (uint64_t)(long)number;
  char *blocks[kMine] = {0};
  for (long i = 0; i < forks_each; ++i) {
    for (int j = 0; j < 20; ++j) {
      const int slot = next_number(&state) % kMine, row = next_number(&state) % book->rows;
      if (blocks[slot]) {
        for (int k = 0; k < book->rows; ++k)  // its size is in its bytes behind the first hundred
          if (book->row[k].size == *(size_t *)(blocks[slot] + 104)) book_freed(book, k);
        free(blocks[slot]);
      }
      blocks[slot] = parent_allocates(book->row[row].size);
      memset(blocks[slot], slot % 100, 104);
      *(size_t *)(blocks[slot] + 104) = book->row[row].size;
      book_allocated(book, row);
    }
    const int index = __atomic_fetch_add(&child_count, 1, __ATOMIC_RELAXED);
    children[index].blocks = 1 + index % 5;
    children[index].size = 100 + index % 50;
    if (is("asks") && i % 25 == 0) kill(getpid(), SIGUSR2);
    const pid_t pid = start(index, blocks);
    int status = -1;
    if (pid > 0) waitpid(pid, &status, 0);
    children[index].pid = pid;
    children[index].ended = pid < 0 ? -1000 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  folder = argv[1];
  const long forks = atol(argv[2]), threads = atol(argv[3]), forking = atol(argv[4]);
  how = argv[5];
  words = argv + 6;
  forks_each = forks / forking;
  if (forks > kMost) return 2;
  pthread_t ids[2 * kThreads];
  for (int i = 0; i < kThreads; ++i) {
    other_books[i].function = "other_allocates";
    parent_books[i].function = "parent_allocates";
    for (size_t size = 112; size < 3000; size = size * 4 / 3 + 1) {
      row_of(&other_books[i], size);
      row_of(&parent_books[i], size);
    }
  }
  for (long i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, other_thread, (void *)i);
  if (forking == 1) {
    forking_thread((void *)0);
  } else {
    for (long i = 0; i < forking; ++i) pthread_create(&ids[kThreads + i], NULL, forking_thread, (void *)i);
    for (long i = 0; i < forking; ++i) pthread_join(ids[kThreads + i], NULL);
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELAXED);
  for (long i = 0; i < threads; ++i) pthread_join(ids[i], NULL);

  // One book each.
  for (int i = 1; i < kThreads; ++i)
    for (int j = 0; j < other_books[i].rows; ++j) {
      other_books[0].row[j].allocated += other_books[i].row[j].allocated;
      other_books[0].row[j].live += other_books[i].row[j].live;
      parent_books[0].row[j].allocated += parent_books[i].row[j].allocated;
      parent_books[0].row[j].live += parent_books[i].row[j].live;
    }
  struct Book *const books[] = {&other_books[0], &parent_books[0]};
  printf("{");
  print_books("books", books, 2);
  printf(", \"children\": [");
  for (int i = 0; i < child_count; ++i)
    printf("%s[%d, %d, %d, %d]", i ? ", " : "", (int)children[i].pid, children[i].blocks, children[i].size,
           children[i].ended);
  printf("]}\n");
}
