// Shows a program that has used all the address space it may have, knows how to live with that, and ends in good order.
// Arguments: megabytes that it may still have, and whether it gives all back before its end (1 or 0).
// build: -O2 -fomit-frame-pointer
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "heap_books.h"

static struct Book book = {.function = "allocates_until_the_end"};
static struct Book *const books[] = {&book};
static char output[1 << 12];

ALLOCATES(allocates_until_the_end, malloc(size))

static size_t address_space(void) {
  size_t pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%zu", &pages) != 1) abort();
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
  const size_t megabytes = (size_t)argument(argc, argv, 1, 30);
  const int gives_back = (int)argument(argc, argv, 2, 0);
  setvbuf(stdout, output, _IOFBF, sizeof output);
  const struct rlimit limit = {address_space() + (megabytes << 20), RLIM_INFINITY};
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
  void **last = NULL;
  static const size_t sizes[] = {100000, 5000, 300, 24};
  int error = 0;
  for (int i = 0; i < 4; ++i) {
    const int row = row_of(&book, sizes[i]);
    for (void **block; errno = 0, (block = allocates_until_the_end(sizes[i])) != NULL; last = block) {
      book_allocated(&book, row);
      block[0] = last;
      block[1] = (void *)(long)row;
    }
    error = errno;
  }
  while (gives_back && last) {
    void **next = last[0];
    book_freed(&book, (int)(long)last[1]);
    free(last);
    last = next;
  }
  printf("{\"error\": \"%s\", ", strerror(error));
  print_books("books", books, 1);
  printf("}\n");
}
