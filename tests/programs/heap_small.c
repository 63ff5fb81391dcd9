// Shows many small blocks, half of them kept: 64 to 1000 bytes, from one place. Argument: how many.
// build: -O2 -fomit-frame-pointer
#include "heap_books.h"

static struct Book book = {.function = "allocates_small"};
static struct Book *const books[] = {&book};

ALLOCATES(allocates_small, malloc(size))

int main(int argc, char **argv) {
  const long count = (long)argument(argc, argv, 1, 200000);
  uint64_t state = 5;
  for (int i = 0; i < 118; ++i) row_of(&book, 64 + 8 * (size_t)i);
  for (long i = 0; i < count; ++i) {
    const int row = (int)(next_number(&state) % 118);
    void *block = allocates_small(book.row[row].size);
    book_allocated(&book, row);
    if (next_number(&state) % 2) continue;
    book_freed(&book, row);
    free(block);
  }
  printf("{");
  print_books("books", books, 1);
  printf("}\n");
}
