// Shows threads that allocate as fast as they can, each with blocks of its own and some of the others', while the
// process asks for one snapshot after the other. All is freed at last. Arguments: folder, threads, snapshots.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "heap_books.h"

enum { kThreads = 32, kMine = 64, kShared = 256, kSizes = 40 };
static struct Book books_of_threads[kThreads];
static void *shared[kShared];
static int stops, broken;
static long turns[kThreads];

ALLOCATES(storm_mallocs, malloc(size))
ALLOCATES(storm_callocs, calloc(size, 1))

PLAIN_NAME NOT_INLINED void *storm_reallocs(void *old, size_t size) {
  void *block = realloc(old, size);
  NOT_A_TAIL_CALL();
  return block;
}

// Some more stacks.
PLAIN_NAME NOT_INLINED void *storm_deeper(int depth, size_t size) {
  void *block = depth ? storm_deeper(depth - 1, size) : storm_mallocs(size);
  NOT_A_TAIL_CALL();
  return block;
}

static void fill(char *block, size_t size) { block[0] = block[size - 1] = (char)size; }
static void check(const char *block, size_t size) {
  if (block[0] != (char)size || block[size - 1] != (char)size) __atomic_store_n(&broken, 1, __ATOMIC_RELAXED);
}

static void *thread(void *number) {
  const long me = (long)number;
  struct Book *book = &books_of_threads[me];
  uint64_t state = 1000 + (uint64_t)me;
  struct {
    char *block;
    size_t size;
  } mine[kMine] = {0};
  for (; !__atomic_load_n(&stops, __ATOMIC_RELAXED); ++turns[me]) {
    const int row = next_number(&state) % kSizes, slot = next_number(&state) % kMine;
    const size_t size = book->row[row].size;
    // One of the shared slots: another thread frees this block.
    void *handed = __atomic_exchange_n(&shared[next_number(&state) % kShared], storm_callocs(size), __ATOMIC_ACQ_REL);
    book_allocated(book, row);
    free(handed);
    if (mine[slot].block) check(mine[slot].block, mine[slot].size);
    if (next_number(&state) % 2) {
      mine[slot].block = storm_reallocs(mine[slot].block, size);
    } else {
      free(mine[slot].block);
      mine[slot].block = storm_deeper(next_number(&state) % 8, size);
    }
    book_allocated(book, row);
    mine[slot].size = size;
    fill(mine[slot].block, size);
  }
  for (int i = 0; i < kMine; ++i) free(mine[i].block);
  return NULL;
}

static int is_there(const char *folder, int number) {
  char path[1000];
  snprintf(path, sizeof path, "%s/heap.%d.prof", folder, number);
  return access(path, F_OK) == 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const int threads = atoi(argv[2]), snapshots = atoi(argv[3]);
  pthread_t ids[kThreads];
  for (int i = 0; i < threads; ++i)
    for (size_t j = 0, size = 1; j < kSizes; ++j, size = size * 6 / 5 + 1) row_of(&books_of_threads[i], size);
  for (long i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, thread, (void *)i);
  int signals = 0;
  for (int i = 1; i <= snapshots; ++i) {
    // One that comes while the last reporter ends is dropped: again, after a while.
    for (int turn = 0; !is_there(argv[1], i) && turn < 60000; ++turn) {
      if (turn % 300 == 0) {
        kill(getpid(), SIGUSR2);
        ++signals;
      }
      nanosleep((const struct timespec[]){{0, 1000000}}, NULL);
    }
    if (!is_there(argv[1], i)) break;
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELAXED);
  long all_turns = 0, slowest = -1;
  for (int i = 0; i < threads; ++i) {
    pthread_join(ids[i], NULL);
    all_turns += turns[i];
    if (slowest < 0 || turns[i] < slowest) slowest = turns[i];
  }
  for (int i = 0; i < kShared; ++i) free(shared[i]);
  static struct Book all = {.function = "thread"};
  struct Book *const sum[] = {&all};
  for (int i = 0; i < threads; ++i)
    for (int j = 0; j < kSizes; ++j) {
      const int row = row_of(&all, books_of_threads[i].row[j].size);
      all.row[row].allocated += books_of_threads[i].row[j].allocated;
    }
  printf("{\"broken\": %d, \"signals\": %d, \"all_there\": %d, \"turns\": %ld, \"slowest\": %ld, ", broken, signals,
         is_there(argv[1], snapshots), all_turns, slowest);
  print_books("books", sum, 1);
  printf("}\n");
}
