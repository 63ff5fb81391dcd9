// What the heap victims share: books of what each function allocated, by size, and what of it is still live. Keeping
// them allocates nothing, and any thread may write in them.
#pragma once

#include <stdio.h>

#include "victim.h"

enum { kBookRows = 128 };

// A function that allocates by the expression given; each has something that no other has, or they would be folded.
#define ALLOCATES(name, expression)                  \
  PLAIN_NAME NOT_INLINED void *name(size_t size) {   \
    static int calls;                                \
    void *block = (expression);                      \
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED); \
    return block;                                    \
  }

struct Row {
  size_t size;
  long allocated, live;
};

// Of one function: its name, and a row a size. The rows are there before a second thread is, or are one thread's own.
struct Book {
  const char *function;
  int rows;
  struct Row row[kBookRows];
};

static inline int row_of(struct Book *book, size_t size) {
  for (int i = 0; i < book->rows; ++i)
    if (book->row[i].size == size) return i;
  if (book->rows == kBookRows) abort();
  book->row[book->rows].size = size;
  return book->rows++;
}

static inline void book_allocated(struct Book *book, int row) {
  __atomic_fetch_add(&book->row[row].allocated, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&book->row[row].live, 1, __ATOMIC_RELAXED);
}

static inline void book_freed(struct Book *book, int row) {
  __atomic_fetch_sub(&book->row[row].live, 1, __ATOMIC_RELAXED);
}

// "name": {"function": {"size": [allocated, live], …}, …}
static inline void print_books(const char *name, struct Book *const *books, int count) {
  printf("\"%s\": {", name);
  for (int i = 0; i < count; ++i) {
    printf("%s\"%s\": {", i ? ", " : "", books[i]->function);
    for (int j = 0; j < books[i]->rows; ++j) {
      const struct Row *row = &books[i]->row[j];
      printf("%s\"%zu\": [%ld, %ld]", j ? ", " : "", row->size, row->allocated, row->live);
    }
    printf("}");
  }
  printf("}");
}
