// Shows a heap that grows, is at its highest once, shrinks, and grows again to a lower hump. Prints the books as
// they stood at the highest moment, and at the end. Arguments: threads; 1 for blocks freed in another thread than
// they were allocated in.
// build: -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <string.h>

#include "heap_books.h"

static struct Book early_book = {.function = "climbs_early"}, top_book = {.function = "climbs_to_the_top"},
                   late_book = {.function = "climbs_late"}, brief_book = {.function = "comes_and_goes"};
static struct Book *const books[] = {&early_book, &top_book, &late_book, &brief_book};
static struct Book at_peak[4];
enum { kBlocks = 3000, kThreads = 8 };

ALLOCATES(climbs_early, malloc(size))
ALLOCATES(climbs_to_the_top, malloc(size))
ALLOCATES(climbs_late, malloc(size))
ALLOCATES(comes_and_goes, malloc(size))

struct Block {
  void *address;
  struct Book *book;
  int row;
};

static struct Block early[kThreads][kBlocks], late[kThreads][kBlocks];
static pthread_barrier_t barrier;
static int threads, freed_elsewhere;

static struct Block take(void *(*function)(size_t), struct Book *book, int row) {
  struct Block block = {function(book->row[row].size), book, row};
  if (!block.address) abort();
  book_allocated(book, row);
  return block;
}

static void release(struct Block *block) {
  if (!block->address) return;
  book_freed(block->book, block->row);
  free(block->address);
  block->address = NULL;
}

// Something below the height that is reached anyway.
static void come_and_go(uint64_t *state) {
  struct Block block = take(comes_and_goes, &brief_book, next_number(state) % brief_book.rows);
  release(&block);
}

static void *thread(void *number) {
  const long me = (long)number, whose = freed_elsewhere ? (me + 1) % threads : me;
  uint64_t state = 99 + (uint64_t)me;
  for (int i = 0; i < kBlocks; ++i) {
    come_and_go(&state);
    early[me][i] = take(climbs_early, &early_book, next_number(&state) % early_book.rows);
  }
  pthread_barrier_wait(&barrier);  // the main thread goes to the top alone
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kBlocks; ++i)
    if (i % 4) release(&early[whose][i]);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kBlocks; ++i) {
    come_and_go(&state);
    if (i % 2) late[me][i] = take(climbs_late, &late_book, next_number(&state) % late_book.rows);
  }
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kBlocks; ++i) {
    if (i % 5) release(&late[whose][i]);
    if (i % 8) release(&early[whose][i]);
  }
  return NULL;
}

int main(int argc, char **argv) {
  threads = (int)argument(argc, argv, 1, 1);
  freed_elsewhere = (int)argument(argc, argv, 2, 0);
  for (size_t size = 40; size < 20000; size = size * 7 / 5) row_of(&early_book, size);
  for (size_t size = 40; size < 10000; size = size * 8 / 5) row_of(&late_book, size);
  for (size_t size = 8; size < 600; size *= 2) row_of(&brief_book, size);
  for (size_t size = 500000; size < 2000000; size = size * 6 / 5) row_of(&top_book, size);

  pthread_t ids[kThreads];
  pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
  for (long i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, thread, (void *)i);
  pthread_barrier_wait(&barrier);
  struct Block top[64];
  for (int i = 0; i < 64; ++i) top[i] = take(climbs_to_the_top, &top_book, i % top_book.rows);
  for (int i = 0; i < 4; ++i) memcpy(&at_peak[i], books[i], sizeof at_peak[i]);
  for (int i = 0; i < 64; ++i) release(&top[i]);
  for (int i = 0; i < 3; ++i) pthread_barrier_wait(&barrier);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);

  struct Book *const peak_books[] = {&at_peak[0], &at_peak[1], &at_peak[2], &at_peak[3]};
  printf("{");
  print_books("peak", peak_books, 4);
  printf(", ");
  print_books("books", books, 4);
  printf("}\n");
}
