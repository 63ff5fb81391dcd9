// Shows realloc in all its ways, with books: in place, moved, by the kernel's remapping, shrunk, failed, of nothing, to
// nothing; then at random, several threads on the same slots. Arguments: threads, reallocs of each.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "heap_books.h"

static struct Book first_book = {.function = "allocates_first"}, grown_book = {.function = "reallocates_larger"},
                   shrunk_book = {.function = "reallocates_smaller"}, failed_book = {.function = "fails_to_reallocate"},
                   nothing_book = {.function = "reallocates_nothing"}, array_book = {.function = "reallocates_array"},
                   random_book = {.function = "reallocates_at_random"};
static struct Book *const books[] = {&first_book,   &grown_book, &shrunk_book, &failed_book,
                                     &nothing_book, &array_book, &random_book};
static int in_place, moved, wrong;
static volatile size_t huge = (size_t)1 << 60;

struct Block {
  void *address;
  struct Book *book;
  int row;
};

#define WRONG_UNLESS(condition) (wrong += !(condition))

ALLOCATES(allocates_first, malloc(size))

#define REALLOCATES(name)                                                             \
  NOT_INLINED void *name(void *old, size_t size) {                                    \
    static int calls;                                                                 \
    void *block = realloc(old, size);                                                 \
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED); /* each a function of its own */ \
    NOT_A_TAIL_CALL();                                                                \
    return block;                                                                     \
  }
REALLOCATES(reallocates_larger)
REALLOCATES(reallocates_smaller)
REALLOCATES(fails_to_reallocate)
REALLOCATES(reallocates_nothing)
REALLOCATES(reallocates_at_random)

NOT_INLINED void *reallocates_array(void *old, size_t count, size_t size) {
  void *block = reallocarray(old, count, size);
  NOT_A_TAIL_CALL();
  return block;
}

static struct Block booked(void *address, struct Book *book, size_t size) {
  struct Block block = {address, book, row_of(book, size)};
  if (!address) abort();
  book_allocated(book, block.row);
  return block;
}

static struct Block first(size_t size) {
  struct Block block = booked(allocates_first(size), &first_book, size);
  memset(block.address, 'x', size);
  return block;
}

static size_t size_of(struct Block block) { return block.book->row[block.row].size; }

// The book's side of a realloc that worked.
static struct Block replaced(struct Block old, void *address, struct Book *book, size_t size) {
  const size_t same = size_of(old) < size ? size_of(old) : size;
  *(address == old.address ? &in_place : &moved) += 1;
  book_freed(old.book, old.row);
  struct Block block = booked(address, book, size);
  for (size_t i = 0; i < same; ++i) WRONG_UNLESS(((char *)address)[i] == 'x');
  memset(address, 'x', size);
  return block;
}

static void release(struct Block block) {
  book_freed(block.book, block.row);
  free(block.address);
}

static struct Block larger(struct Block old, size_t size) {
  return replaced(old, reallocates_larger(old.address, size), &grown_book, size);
}

static struct Block smaller(struct Block old, size_t size) {
  return replaced(old, reallocates_smaller(old.address, size), &shrunk_book, size);
}

static void one_by_one(void) {
  // The first of each pair keeps the second from growing where it is.
  struct Block blocked = first(1000), wall = first(24);
  blocked = larger(blocked, 5000);
  blocked = larger(blocked, 5001);  // within the same usable size, or not: an allocation of 5001 bytes
  struct Block last = first(30000);
  last = smaller(last, 20000);
  last = larger(last, 29000);  // into the room that it has just left
  struct Block mapped = first(2 << 20);
  mapped = larger(mapped, 16 << 20);
  mapped = larger(mapped, 48 << 20);
  mapped = smaller(mapped, 100);
  struct Block same = first(77);
  same = larger(same, 77);

  struct Block stays = first(333);
  errno = 0;
  WRONG_UNLESS(fails_to_reallocate(stays.address, huge) == NULL && errno == ENOMEM);
  errno = 0;
  WRONG_UNLESS(fails_to_reallocate(stays.address, (size_t)-1) == NULL && errno == ENOMEM);
  errno = 0;
  WRONG_UNLESS(fails_to_reallocate(NULL, huge) == NULL && errno == ENOMEM);
  errno = 0;
  WRONG_UNLESS(reallocates_array(stays.address, (size_t)1 << 33, (size_t)1 << 33) == NULL && errno == ENOMEM);
  for (int i = 0; i < 333; ++i) WRONG_UNLESS(((char *)stays.address)[i] == 'x');

  booked(reallocates_nothing(NULL, 555), &nothing_book, 555);
  booked(reallocates_nothing(NULL, 0), &nothing_book, 0);
  struct Block gone = first(444);
  WRONG_UNLESS(reallocates_nothing(gone.address, 0) == NULL);  // glibc frees it
  book_freed(gone.book, gone.row);

  struct Block array = booked(reallocates_array(NULL, 10, 12), &array_book, 120);
  memset(array.address, 'x', 120);
  array = replaced(array, reallocates_array(array.address, 300, 12), &array_book, 3600);
  // As many failures again, of a block that is freed afterwards: it is still the block of before.
  struct Block freed = first(334);
  for (int i = 0; i < 100; ++i) WRONG_UNLESS(fails_to_reallocate(freed.address, huge) == NULL);
  release(freed);
  release(wall);
  release(blocked);
}

enum { kSlots = 256 };
static struct {
  pthread_mutex_t mutex;
  struct Block block;
} slots[kSlots];
static long reallocs_each;

static void *at_random(void *seed) {
  uint64_t state = (uint64_t)(long)seed + 4711;
  for (long i = 0; i < reallocs_each; ++i) {
    const int slot = next_number(&state) % kSlots;
    const int row = next_number(&state) % random_book.rows;
    const int frees = next_number(&state) % 8 == 0;
    pthread_mutex_lock(&slots[slot].mutex);
    struct Block old = slots[slot].block;
    struct Block next = {NULL, &random_book, row};
    if (!frees) {
      next.address = reallocates_at_random(old.address, random_book.row[row].size);
      if (!next.address) abort();
    } else {
      free(old.address);
    }
    slots[slot].block = next;
    pthread_mutex_unlock(&slots[slot].mutex);
    if (old.address) book_freed(old.book, old.row);
    if (next.address) book_allocated(next.book, next.row);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const int threads = (int)argument(argc, argv, 1, 1);
  reallocs_each = (long)argument(argc, argv, 2, 10000);
  one_by_one();
  for (size_t size = 1; size < 300000; size = size * 5 / 3 + 1) row_of(&random_book, size);
  for (int i = 0; i < kSlots; ++i) pthread_mutex_init(&slots[i].mutex, NULL);
  pthread_t ids[16];
  for (long i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, at_random, (void *)i);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("{\"wrong\": %d, \"in_place\": %d, \"moved\": %d, ", wrong, in_place, moved);
  print_books("books", books, sizeof books / sizeof *books);
  printf("}\n");
}
