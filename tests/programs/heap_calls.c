// Shows every call of C that allocates or frees, with what it has to answer: alignment, errno, contents, zero,
// overflow. Prints one line a fact (no addresses: the same with any allocator's bookkeeping), then the books. A call
// that allocates has a function of its own, whose name is in the books.
// build: -O2 -fomit-frame-pointer -fno-builtin -pthread -Wno-alloc-size-larger-than -Wno-unused-result
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "heap_books.h"

enum { kMark = 4711 };  // an errno that no call sets
static volatile size_t most = (size_t)-1, huge = (size_t)1 << 62, two_to_33 = (size_t)1 << 33;
static volatile size_t current_alignment;
static volatile size_t current_count;
static void *volatile current_block;
static int last_result;

static inline __attribute__((always_inline)) void *by_posix_memalign(size_t size) {
  void *block = (void *)&most;
  last_result = posix_memalign(&block, current_alignment, size);
  return block == (void *)&most ? NULL : block;  // a failure leaves it alone
}

static void *(*volatile malloc_pointer)(size_t) = malloc;

ALLOCATES(calls_malloc, malloc(size))
ALLOCATES(calls_malloc_by_pointer, malloc_pointer(size))
ALLOCATES(calls_calloc, calloc(current_count, size))
ALLOCATES(calls_realloc, realloc(current_block, size))
ALLOCATES(calls_reallocarray, reallocarray(current_block, current_count, size))
ALLOCATES(calls_memalign, memalign(current_alignment, size))
ALLOCATES(calls_posix_memalign, by_posix_memalign(size))
ALLOCATES(calls_aligned_alloc, aligned_alloc(current_alignment, size))
ALLOCATES(calls_valloc, valloc(size))
ALLOCATES(calls_pvalloc, pvalloc(size))
ALLOCATES(calls_after_failures, malloc(size))
// What does not allocate must not be in the profile at all.
ALLOCATES(fails_malloc, malloc(size))
ALLOCATES(fails_calloc, calloc(current_count, size))
ALLOCATES(fails_realloc, realloc(current_block, size))
ALLOCATES(fails_reallocarray, reallocarray(current_block, current_count, size))
ALLOCATES(fails_memalign, memalign(current_alignment, size))
ALLOCATES(fails_posix_memalign, by_posix_memalign(size))
ALLOCATES(fails_aligned_alloc, aligned_alloc(current_alignment, size))
ALLOCATES(fails_valloc, valloc(size))
ALLOCATES(fails_pvalloc, pvalloc(size))

typedef void *(*Allocate)(size_t);
static struct Book all_books[32];
static struct Book *books[32];
static int book_count;

static struct Book *book_of(const char *function) {
  for (int i = 0; i < book_count; ++i)
    if (strcmp(books[i]->function, function) == 0) return books[i];
  books[book_count] = &all_books[book_count];
  books[book_count]->function = function;
  return books[book_count++];
}

static const char *zero_or_not(const char *block, size_t size) {
  for (size_t i = 0; i < size; ++i)
    if (block[i]) return "not zero";
  return "zero";
}

// Calls it, checks what every block must be, and says how it went. `bytes`: what the books say.
static void *called(const char *name, Allocate function, size_t size, size_t bytes, size_t alignment) {
  errno = kMark;
  char *block = function(size);
  const int error = errno;
  const size_t usable = malloc_usable_size(block);
  printf("%s(%zu, alignment %zu): %s, errno %s, %s, usable %s, %s\n", name, size, alignment, block ? "block" : "null",
         error == kMark ? "kept" : strerror(error), (size_t)block % alignment ? "misaligned" : "aligned",
         usable >= bytes ? "enough" : "too little", strstr(name, "calloc") ? zero_or_not(block, bytes) : "any");
  if (!block) return NULL;
  memset(block, 0x5a, usable);
  struct Book *book = book_of(name);
  book_allocated(book, row_of(book, bytes));
  return block;
}
#define CALLED(function, size, bytes, alignment) called(#function, function, size, bytes, alignment)

static void fails(const char *name, Allocate function, size_t size) {
  errno = kMark;
  last_result = 0;
  void *block = function(size);
  const int error = errno;
  printf("%s(%zu, alignment %zu): %s, errno %s, result %s\n", name, size, current_alignment,
         block ? "a block, oddly" : "null", error == kMark ? "kept" : strerror(error),
         last_result ? strerror(last_result) : "none");
}
#define FAILS(function, size) fails(#function, function, size)

static void freed(void *block, const char *name, size_t bytes) {
  struct Book *book = book_of(name);
  if (block) book_freed(book, row_of(book, bytes));
  errno = kMark;
  free(block);
  if (errno != kMark) printf("free of %s changed errno to %s\n", name, strerror(errno));
}
#define FREED(block, function, bytes) freed(block, #function, bytes)

static void plain_calls(void) {
  for (size_t size = 0; size < 40000; size = size * 3 + 1) {
    void *first = CALLED(calls_malloc, size, size, 16);
    void *second = CALLED(calls_malloc, size, size, 16);
    if (first == second) printf("the same block twice\n");
    FREED(second, calls_malloc, size);
    CALLED(calls_malloc_by_pointer, size, size, 16);
    current_count = 3;
    CALLED(calls_calloc, size, 3 * size, 16);
    FREED(CALLED(calls_calloc, size, 3 * size, 16), calls_calloc, 3 * size);
    current_count = 0;
    FREED(CALLED(calls_calloc, size, 0, 16), calls_calloc, 0);
    current_block = NULL;
    CALLED(calls_realloc, size, size, 16);
    current_count = 5;
    CALLED(calls_reallocarray, size, 5 * size, 16);
    CALLED(calls_valloc, size, size, 4096);
    FREED(CALLED(calls_pvalloc, size, size, 4096), calls_pvalloc, size);
  }
  current_block = CALLED(calls_malloc, 100, 100, 16);
  FREED(NULL, calls_malloc, 0);
  current_block = CALLED(calls_realloc, 50000, 50000, 16);
  book_freed(book_of("calls_malloc"), row_of(book_of("calls_malloc"), 100));
  for (int i = 0; i < 100; ++i)
    if (((char *)current_block)[i] != 0x5a) printf("realloc lost byte %d\n", i);
  FREED(current_block, calls_realloc, 50000);
  FREED(CALLED(calls_malloc, 3 << 20, 3 << 20, 16), calls_malloc, 3 << 20);
}

static void aligned_calls(void) {
  for (size_t alignment = 8; alignment <= (1 << 20); alignment *= 4) {
    current_alignment = alignment;
    for (size_t size = 0; size < 5000; size = size * 5 + 1) {
      CALLED(calls_memalign, size, size, alignment);
      FREED(CALLED(calls_posix_memalign, size, size, alignment), calls_posix_memalign, size);
      CALLED(calls_aligned_alloc, size, size, alignment);
    }
  }
}

static void failing_calls(void) {
  void *block = CALLED(calls_malloc, 200, 200, 16);
  static const size_t bad[] = {0, 1, 2, 3, 12, 48};
  for (int i = 0; i < 6; ++i) {
    current_alignment = bad[i];
    FAILS(fails_posix_memalign, 64);
  }
  for (int i = 0; i < 2; ++i) {
    const size_t size = i ? huge : most;
    current_alignment = 64;
    current_block = i ? block : NULL;
    current_count = 1;
    FAILS(fails_malloc, size);
    FAILS(fails_calloc, size);
    FAILS(fails_realloc, size);
    FAILS(fails_reallocarray, size);
    FAILS(fails_memalign, size);
    FAILS(fails_posix_memalign, size);
    FAILS(fails_aligned_alloc, size);
    FAILS(fails_valloc, size);
    FAILS(fails_pvalloc, size);
  }
  // Products that overflow: to 0, to something small, to something large.
  static const size_t counts[] = {(size_t)1 << 32, ((size_t)1 << 32) + 1, (size_t)-1};
  for (int i = 0; i < 3; ++i) {
    current_count = counts[i];
    FAILS(fails_calloc, (size_t)1 << 32);
    FAILS(fails_calloc, most / 2 + 1);
    FAILS(fails_reallocarray, two_to_33);
  }
  for (int i = 0; i < 200; ++i)
    if (((char *)block)[i] != 0x5a) printf("a failed realloc changed byte %d\n", i);
  // With the alignment as large as it gets, glibc says EINVAL and others ENOMEM: whatever it is, it stays.
  current_alignment = ((size_t)1 << 63) + 1;
  FAILS(fails_memalign, 10);
}

// libc's own calls of malloc: booked by the function here that calls libc.
NOT_INLINED void *calls_strdup(size_t size) {
  static char text[1000];
  memset(text, 'a', size - 1);
  text[size - 1] = 0;
  char *copy = strdup(text);
  NOT_A_TAIL_CALL();
  return copy;
}

NOT_INLINED void *calls_strndup(size_t size) {
  char *copy = strndup("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", size - 1);
  NOT_A_TAIL_CALL();
  return copy;
}

static void libc_calls(void) {
  for (size_t size = 2; size < 40; size += 5) {
    CALLED(calls_strdup, size * 10, size * 10, 16);
    FREED(CALLED(calls_strndup, size, size, 16), calls_strndup, size);
  }
  char *text = NULL, *line = NULL;
  size_t length = 0;
  if (asprintf(&text, "%d %s", 42, "words") != 8) printf("asprintf\n");
  free(text);
  FILE *stream = open_memstream(&text, &length);
  for (int i = 0; i < 10000; ++i) fprintf(stream, "%d\n", i);
  fclose(stream);
  printf("memstream has %zu bytes\n", length);
  stream = fmemopen(text, length, "r");
  size_t room = 0;
  int lines = 0;
  while (getline(&line, &room, stream) > 0) ++lines;
  fclose(stream);
  printf("%d lines\n", lines);
  free(line);
  free(text);
  char *path = realpath("/proc/self/../self/../../usr/./lib", NULL);
  printf("realpath %s\n", path ? "found" : "null");
  free(path);
}

// What goes past the usual names: a block of malloc's that is freed by another name, and the reverse.
extern void *__libc_malloc(size_t);
extern void __libc_free(void *);

ALLOCATES(is_freed_elsewhere, malloc(size))

static void other_names(void) {
  for (int i = 0; i < 1000; ++i) __libc_free(is_freed_elsewhere(100));
  for (int i = 0; i < 1000; ++i) free(__libc_malloc(200));
  static const char *const optional[] = {"cfree", "free_sized", "free_aligned_sized"};
  void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, optional[1]);
  void (*free_aligned_sized)(void *, size_t, size_t) =
      (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, optional[2]);
  for (size_t size = 1; size < 1000; size *= 3) {
    void *block = malloc(size);
    void *aligned = aligned_alloc(64, 640);
    free_sized ? free_sized(block, size) : free(block);
    free_aligned_sized ? free_aligned_sized(aligned, 64, 640) : free(aligned);
  }
  if (free_sized) free_sized(NULL, 0);
  if (free_aligned_sized) free_aligned_sized(NULL, 64, 0);
  // stderr, as a line of its own: what the process can find.
  for (int i = 0; i < 3; ++i)
    fprintf(stderr, "%s%s", dlsym(RTLD_DEFAULT, optional[i]) ? optional[i] : "-", i == 2 ? "\n" : " ");
}

static void settings(void) {
  printf("mallopt %d\n", mallopt(M_MMAP_THRESHOLD, 1 << 20));
  printf("malloc_trim %s\n", malloc_trim(0) >= 0 ? "answers" : "fails");
  struct mallinfo2 info = mallinfo2();
  printf("mallinfo2 %s\n", info.uordblks > 0 ? "knows of blocks" : "knows of none");
  printf("usable size of nothing %zu\n", malloc_usable_size(NULL));
}

int main(void) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  plain_calls();
  aligned_calls();
  libc_calls();
  other_names();
  failing_calls();
  for (size_t size = 10; size < 100; size += 10) CALLED(calls_after_failures, size, size, 16);
  settings();
  printf("{");
  print_books("books", books, book_count);
  printf("}\n");
}
