// Shows a program that uses mimalloc's own calls, found by weak references, mixed with the standard's: mi_malloc and its kin,
// and some that fewer use (mi_heap_malloc, mi_rezalloc, mi_expand, mi_strdup, …), whose blocks have no books. Without mimalloc
// it says so. Prints its books, and whether a byte was wrong.
// build: -O2 -fomit-frame-pointer
#include <stdbool.h>
#include <string.h>

#include "heap_books.h"

#define WEAK __attribute__((weak))
WEAK void *mi_malloc(size_t size);
WEAK void *mi_malloc_small(size_t size);
WEAK void *mi_zalloc(size_t size);
WEAK void *mi_calloc(size_t count, size_t size);
WEAK void *mi_mallocn(size_t count, size_t size);
WEAK void *mi_realloc(void *block, size_t size);
WEAK void *mi_reallocn(void *block, size_t count, size_t size);
WEAK void *mi_malloc_aligned(size_t size, size_t alignment);
WEAK void *mi_zalloc_aligned(size_t size, size_t alignment);
WEAK void *mi_realloc_aligned(void *block, size_t size, size_t alignment);
WEAK void *mi_new(size_t size);
WEAK void *mi_new_nothrow(size_t size);
WEAK void *mi_new_aligned(size_t size, size_t alignment);
WEAK void mi_free(void *block);
WEAK void mi_free_size(void *block, size_t size);
WEAK void mi_free_aligned(void *block, size_t alignment);
WEAK void mi_free_size_aligned(void *block, size_t size, size_t alignment);
WEAK size_t mi_usable_size(const void *block);
WEAK bool mi_is_in_heap_region(const void *block);
// Without books.
WEAK void *mi_heap_new(void);
WEAK void mi_heap_destroy(void *heap);
WEAK void *mi_heap_malloc(void *heap, size_t size);
WEAK void *mi_rezalloc(void *block, size_t size);
WEAK void *mi_recalloc(void *block, size_t count, size_t size);
WEAK void *mi_expand(void *block, size_t size);
WEAK char *mi_strdup(const char *text);
WEAK void *mi_malloc_aligned_at(size_t size, size_t alignment, size_t offset);
WEAK void *mi_reallocf(void *block, size_t size);

static void *to_change;
ALLOCATES(calls_malloc, malloc(size))
ALLOCATES(calls_mi_malloc, mi_malloc(size))
ALLOCATES(calls_mi_malloc_small, mi_malloc_small(size))
ALLOCATES(calls_mi_zalloc, mi_zalloc(size))
ALLOCATES(calls_mi_calloc, mi_calloc(size, 1))
ALLOCATES(calls_mi_mallocn, mi_mallocn(1, size))
ALLOCATES(calls_mi_malloc_aligned, mi_malloc_aligned(size, 128))
ALLOCATES(calls_mi_zalloc_aligned, mi_zalloc_aligned(size, 128))
ALLOCATES(calls_mi_new, mi_new(size))
ALLOCATES(calls_mi_new_nothrow, mi_new_nothrow(size))
ALLOCATES(calls_mi_new_aligned, mi_new_aligned(size, 128))
ALLOCATES(calls_realloc, realloc(to_change, size))
ALLOCATES(calls_mi_realloc, mi_realloc(to_change, size))
ALLOCATES(calls_mi_reallocn, mi_reallocn(to_change, 1, size))
ALLOCATES(calls_mi_realloc_aligned, mi_realloc_aligned(to_change, size, 128))

static const struct {
  void *(*take)(size_t);
  int aligned;
} kinds[] = {
    {calls_malloc, 0},     {calls_mi_malloc, 0},      {calls_mi_malloc_small, 0},   {calls_mi_zalloc, 0},
    {calls_mi_calloc, 0},  {calls_mi_mallocn, 0},     {calls_mi_malloc_aligned, 1}, {calls_mi_zalloc_aligned, 1},
    {calls_mi_new, 0},     {calls_mi_new_nothrow, 0}, {calls_mi_new_aligned, 1},    {calls_realloc, 0},
    {calls_mi_realloc, 0}, {calls_mi_reallocn, 0},    {calls_mi_realloc_aligned, 1}};
enum { kTaking = 11, kKinds = 15, kBlocks = 3000 };
static struct Book rows[kKinds] = {{.function = "calls_malloc"},
                                   {.function = "calls_mi_malloc"},
                                   {.function = "calls_mi_malloc_small"},
                                   {.function = "calls_mi_zalloc"},
                                   {.function = "calls_mi_calloc"},
                                   {.function = "calls_mi_mallocn"},
                                   {.function = "calls_mi_malloc_aligned"},
                                   {.function = "calls_mi_zalloc_aligned"},
                                   {.function = "calls_mi_new"},
                                   {.function = "calls_mi_new_nothrow"},
                                   {.function = "calls_mi_new_aligned"},
                                   {.function = "calls_realloc"},
                                   {.function = "calls_mi_realloc"},
                                   {.function = "calls_mi_reallocn"},
                                   {.function = "calls_mi_realloc_aligned"}};
static struct Block {
  unsigned char *data;
  size_t size;
  int kind;
} blocks[kBlocks];
static long wrong;

static void take(struct Block *block, int index, int kind, size_t size) {
  *block = (struct Block){kinds[kind].take(size), size, kind};
  wrong += kinds[kind].aligned && (size_t)block->data % 128;
  wrong += mi_usable_size(block->data) < size;
  book_allocated(&rows[kind], row_of(&rows[kind], size));
  if (kind < kTaking) memset(block->data, 1 + index % 200, size);
}

static void gone(struct Block *block, int index) {
  for (size_t i = 0; i < block->size; ++i) wrong += block->data[i] != 1 + index % 200;
  book_freed(&rows[block->kind], row_of(&rows[block->kind], block->size));
}

static void change(struct Block *block, int index, int kind, size_t size) {
  gone(block, index);
  to_change = block->data;
  const size_t kept = block->size < size ? block->size : size;
  take(block, index, kind, size);
  for (size_t i = 0; i < kept; ++i) wrong += block->data[i] != 1 + index % 200;
  memset(block->data, 1 + index % 200, size);
}

static void let_go(struct Block *block, int index) {
  gone(block, index);
  const int aligned = kinds[block->kind].aligned;
  switch (index % 4) {
    case 0:
      free(block->data);
      break;
    case 1:
      if (aligned)
        mi_free_aligned(block->data, 128);
      else
        mi_free(block->data);
      break;
    case 2:
      if (aligned)
        mi_free_size_aligned(block->data, block->size, 128);
      else
        mi_free_size(block->data, block->size);
      break;
    default:
      mi_free(block->data);
  }
  block->data = NULL;
}

// Calls that a profiler may or may not know, each way round: its blocks by others, others' blocks by it.
static void calls_without_books(void) {
  void *heap = mi_heap_new();
  for (int i = 0; i < 500; ++i) {
    unsigned char *block = mi_heap_malloc(heap, 200);
    memset(block, 7, 200);
    if (i % 3 == 0) block = mi_realloc(block, 900);
    if (i % 3 == 1) free(block);
  }
  mi_heap_destroy(heap);
  for (int i = 0; i < 500; ++i) {
    char *text = mi_strdup("some text that is copied");
    wrong += strcmp(text, "some text that is copied") != 0;
    text = i % 2 ? mi_rezalloc(text, 300) : realloc(text, 300);
    if (i % 2) text = mi_recalloc(text, 3, 200);
    wrong += strcmp(text, "some text that is copied") != 0;
    void *same = mi_expand(text, 250);
    wrong += same && same != text;
    text = mi_reallocf(text, 700);
    free(text);
    char *odd = mi_malloc_aligned_at(300, 64, 8);
    wrong += ((size_t)odd + 8) % 64 != 0;
    mi_free(odd);
  }
}

int main(void) {
  if (!mi_malloc) {
    printf("{\"wrong\": 0, \"absent\": 1}\n");
    return 0;
  }
  static const size_t sizes[] = {1, 40, 128, 1000};
  static const size_t large[] = {5000, 70000, 2000000};
  uint64_t state = 99;
  for (int i = 0; i < kBlocks; ++i) {
    const int kind = i % kTaking;
    const int may_be_large = kind != 2 && next_number(&state) % 50 == 0;
    take(&blocks[i], i, kind, may_be_large ? large[next_number(&state) % 3] : sizes[next_number(&state) % 4]);
    const int old = i / 2;
    if (i % 3 == 0 && blocks[old].kind < kTaking)
      change(&blocks[old], old, kinds[blocks[old].kind].aligned ? kKinds - 1 : kTaking + (int)(next_number(&state) % 3),
             sizes[next_number(&state) % 4]);
  }
  for (int i = 0; i < kBlocks; ++i)
    if (i % 4 || i % 3) let_go(&blocks[i], i);
  struct Book *books[kKinds];
  for (int i = 0; i < kKinds; ++i) books[i] = &rows[i];
  calls_without_books();
  wrong += !mi_is_in_heap_region(blocks[0].data);
  printf("{\"wrong\": %ld, \"absent\": 0, ", wrong);
  print_books("books", books, kKinds);
  printf("}\n");
}
