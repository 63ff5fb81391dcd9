// Shows allocations of 0 bytes to 64 MB by functions that keep books of them: freed at once, kept, or handed to
// whichever thread comes by, which frees them. Arguments: threads, blocks of each, and whether all is freed at last
// (1 or 0).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

#include "heap_books.h"

static struct Book small_book = {.function = "allocates_small"}, mixed_book = {.function = "allocates_mixed"},
                   zeroed_book = {.function = "allocates_zeroed"}, aligned_book = {.function = "allocates_aligned"},
                   medium_book = {.function = "allocates_medium"}, large_book = {.function = "allocates_large"};
static struct Book *const books[] = {&small_book, &mixed_book, &zeroed_book, &aligned_book, &medium_book, &large_book};
enum { kBooks = 6, kSlots = 512, kThreads = 64 };

static inline __attribute__((always_inline)) void *aligned_block(size_t size) {
  void *block = NULL;
  return posix_memalign(&block, 256, size) == 0 ? block : NULL;
}

ALLOCATES(allocates_small, malloc(size))
ALLOCATES(allocates_mixed, malloc(size))
ALLOCATES(allocates_zeroed, calloc(size / 8, 8))
ALLOCATES(allocates_aligned, aligned_block(size))
ALLOCATES(allocates_medium, malloc(size))
ALLOCATES(allocates_large, malloc(size))

// A block and where it stands in the books; block NULL: none.
struct Parcel {
  void *block;
  struct Book *book;
  int row;
};

static struct {
  pthread_mutex_t mutex;
  struct Parcel parcel;
} slots[kSlots];

static long blocks_each;
static struct Parcel *kept[kThreads];  // of each thread, ends with a block NULL

static void release(struct Parcel parcel) {
  if (!parcel.block) return;
  book_freed(parcel.book, parcel.row);
  free(parcel.block);
}

static struct Parcel allocate(uint64_t *state) {
  static const int weights[kBooks] = {450, 300, 100, 60, 80, 10};
  static void *(*const functions[kBooks])(size_t) = {allocates_small,   allocates_mixed,  allocates_zeroed,
                                                     allocates_aligned, allocates_medium, allocates_large};
  int which = 0;
  for (int at = next_number(state) % 1000; at >= weights[which]; ++which) at -= weights[which];
  struct Parcel parcel = {NULL, books[which], 0};
  parcel.row = next_number(state) % parcel.book->rows;
  parcel.block = functions[which](parcel.book->row[parcel.row].size);
  if (!parcel.block) abort();
  book_allocated(parcel.book, parcel.row);
  return parcel;
}

// How many of a thousand blocks are kept: memory has an end. Large blocks are never written to.
static int kept_of_thousand(const struct Book *book, long made) {
  if (book == &large_book) return made < 4000 ? 20 : 0;
  return book == &small_book ? 250 : book == &medium_book ? 5 : 40;
}

static void *thread(void *number) {
  const long me = (long)number;
  uint64_t state = 77777 + (uint64_t)me;
  struct Parcel *keep = kept[me];
  for (long i = 0; i < blocks_each; ++i) {
    struct Parcel parcel = allocate(&state);
    if ((int)(next_number(&state) % 1000) < kept_of_thousand(parcel.book, i)) {
      *keep++ = parcel;
      continue;
    }
    if (next_number(&state) % 2) {  // whoever had this slot before: here the block is freed
      const int slot = next_number(&state) % kSlots;
      pthread_mutex_lock(&slots[slot].mutex);
      const struct Parcel theirs = slots[slot].parcel;
      slots[slot].parcel = parcel;
      pthread_mutex_unlock(&slots[slot].mutex);
      parcel = theirs;
    }
    release(parcel);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const int threads = (int)argument(argc, argv, 1, 1);
  blocks_each = (long)argument(argc, argv, 2, 10000);
  const int free_all = (int)argument(argc, argv, 3, 0);
  static const size_t medium[] = {4096, 8000, 16384, 30000, 65536, 100000, 131072, 262144};
  row_of(&small_book, 16);
  for (size_t size = 0; size < 40; ++size) row_of(&mixed_book, size);
  for (size_t size = 40; size < 4096; size = size * 9 / 8) row_of(&mixed_book, size);
  for (size_t size = 8; size < 3000; size *= 3) row_of(&zeroed_book, size);
  for (size_t size = 100; size < 3000; size *= 2) row_of(&aligned_book, size);
  for (int i = 0; i < 8; ++i) row_of(&medium_book, medium[i]);
  for (size_t size = 1 << 20; size <= 64 << 20; size *= 2) row_of(&large_book, size);

  pthread_t ids[kThreads];
  for (int i = 0; i < kSlots; ++i) pthread_mutex_init(&slots[i].mutex, NULL);
  for (int i = 0; i < threads; ++i) {
    kept[i] = mmap(NULL, (blocks_each + 1) * sizeof(struct Parcel), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (kept[i] == MAP_FAILED) return 2;
  }
  if (threads == 1) {
    thread((void *)0);
  } else {
    for (long i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, thread, (void *)i);
    for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  }
  if (free_all) {
    for (int i = 0; i < kSlots; ++i) release(slots[i].parcel);
    for (int i = 0; i < threads; ++i)
      for (struct Parcel *parcel = kept[i]; parcel->block; ++parcel) release(*parcel);
  }
  printf("{");
  print_books("books", books, kBooks);
  printf("}\n");
}
