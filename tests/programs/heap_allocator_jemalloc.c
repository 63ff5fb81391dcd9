// Shows a program that asks by weak references whether jemalloc is there, as RocksDB, folly and others do, and that uses its own
// calls where it is: mallocx, rallocx, xallocx, dallocx, sdallocx, mixed with the standard's. Elsewhere it uses the standard's
// alone. Prints which names it has found, its books, whether a size or a byte was wrong, and what dlerror has for it at first.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "heap_books.h"

#define WEAK __attribute__((weak))
WEAK void *mallocx(size_t size, int flags);
WEAK void *rallocx(void *block, size_t size, int flags);
WEAK size_t xallocx(void *block, size_t size, size_t extra, int flags);
WEAK size_t sallocx(const void *block, int flags);
WEAK size_t nallocx(size_t size, int flags);
WEAK void dallocx(void *block, int flags);
WEAK void sdallocx(void *block, size_t size, int flags);
WEAK int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size);
WEAK void malloc_stats_print(void (*write)(void *, const char *), void *argument, const char *options);

// jemalloc's flags.
enum { kZero = 0x40, kAlignedTo64 = 6 };

static void *to_change;
static struct Book mallocx_book = {.function = "calls_mallocx"}, flags_book = {.function = "calls_mallocx_zeroed"},
                   rallocx_book = {.function = "calls_rallocx"}, xallocx_book = {.function = "calls_xallocx"},
                   malloc_book = {.function = "calls_malloc"}, realloc_book = {.function = "calls_realloc"};
static struct Book *const books[] = {&mallocx_book, &flags_book,  &rallocx_book,
                                     &xallocx_book, &malloc_book, &realloc_book};
static long wrong;

ALLOCATES(calls_mallocx, mallocx(size, 0))
ALLOCATES(calls_mallocx_zeroed, mallocx(size, kZero | kAlignedTo64))
ALLOCATES(calls_rallocx, rallocx(to_change, size, 0))
ALLOCATES(calls_xallocx, (void *)xallocx(to_change, size, 0, 0))
ALLOCATES(calls_malloc, malloc(size))
ALLOCATES(calls_realloc, realloc(to_change, size))

struct Block {
  unsigned char *data;
  size_t size;
  struct Book *book;
};
enum { kBlocks = 2000 };
static struct Block blocks[kBlocks];

static void taken(struct Block *block, void *data, size_t size, struct Book *book, int index) {
  if (book == &flags_book) {
    wrong += (size_t)data % 64 != 0;
    for (size_t i = 0; i < size; ++i) wrong += ((unsigned char *)data)[i] != 0;
  }
  *block = (struct Block){data, size, book};
  if (sallocx) wrong += sallocx(data, 0) < size || nallocx(size, 0) < size;
  memset(data, 1 + index % 200, size);
  book_allocated(book, row_of(book, size));
}

static void gone(struct Block *block, int index) {
  for (size_t i = 0; i < block->size; ++i) wrong += block->data[i] != 1 + index % 200;
  book_freed(block->book, row_of(block->book, block->size));
}

static void change(struct Block *block, int index, size_t size) {
  const int way = index % 3;
  to_change = block->data;
  if (way == 0 && xallocx) {
    // In place: to the same size class, or it may refuse, and then all is as it was.
    const size_t asked = block->size > 40 ? block->size - 1 : block->size;
    if ((size_t)calls_xallocx(asked) >= asked) {
      gone(block, index);
      taken(block, block->data, asked, &xallocx_book, index);
    }
    // Never in place: refused, and all is as it was.
    if ((size_t)calls_xallocx((size_t)1 << 40) >= (size_t)1 << 40) ++wrong;
    return;
  }
  gone(block, index);
  const size_t kept = block->size < size ? block->size : size;
  unsigned char *data = way == 1 && rallocx ? calls_rallocx(size) : calls_realloc(size);
  for (size_t i = 0; i < kept; ++i) wrong += data[i] != 1 + index % 200;
  taken(block, data, size, way == 1 && rallocx ? &rallocx_book : &realloc_book, index);
}

static void let_go(struct Block *block, int index) {
  gone(block, index);
  if (index % 3 == 0 && dallocx)
    dallocx(block->data, 0);
  else if (index % 3 == 1 && sdallocx)
    sdallocx(block->data, block->size, block->book == &flags_book ? kAlignedTo64 : 0);
  else
    free(block->data);
  block->data = NULL;
}

static void report(const char *name, int is_there) {
  printf("%s: %s, by dlsym %s\n", name, is_there ? "there" : "absent", dlsym(RTLD_DEFAULT, name) ? "there" : "absent");
}

static void ask(void) {
  const char *error = dlerror();
  printf("left behind in dlerror: %s\n", error ? error : "nothing");
  report("mallocx", mallocx != NULL);
  report("rallocx", rallocx != NULL);
  report("xallocx", xallocx != NULL);
  report("sallocx", sallocx != NULL);
  report("nallocx", nallocx != NULL);
  report("dallocx", dallocx != NULL);
  report("sdallocx", sdallocx != NULL);
  report("mallctl", mallctl != NULL);
  report("malloc_stats_print", malloc_stats_print != NULL);
  // What others are known by, and what only new C libraries have.
  const char *const names[] = {"je_mallocx",
                               "mi_malloc",
                               "mi_free",
                               "tc_malloc",
                               "MallocExtension_ReleaseFreeMemory",
                               "free_sized",
                               "free_aligned_sized",
                               "cfree",
                               "malloc_zone_malloc",
                               "__malloc_hook",
                               "malloc_info",
                               "malloc_trim",
                               "mallinfo2",
                               "pvalloc",
                               "reallocarray"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    printf("%s: %s\n", names[i], dlsym(RTLD_DEFAULT, names[i]) ? "there" : "absent");
}

int main(void) {
  ask();
  static const size_t sizes[] = {1, 33, 100, 500, 3000, 40000};
  uint64_t state = 4242;
  for (int i = 0; i < kBlocks; ++i) {
    const size_t size = sizes[next_number(&state) % 6];
    switch (mallocx ? i % 4 : 0) {
      case 1:
        taken(&blocks[i], calls_mallocx(size), size, &mallocx_book, i);
        break;
      case 2:
        taken(&blocks[i], calls_mallocx_zeroed(size), size, &flags_book, i);
        break;
      default:
        taken(&blocks[i], calls_malloc(size), size, &malloc_book, i);
    }
    if (i % 5 == 0) change(&blocks[i / 2], i / 2, sizes[next_number(&state) % 6]);
  }
  for (int i = 0; i < kBlocks; i += 2) let_go(&blocks[i], i);
  printf("{\"wrong\": %ld, ", wrong);
  print_books("books", books, 6);
  printf("}\n");
}
