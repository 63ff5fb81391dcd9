// Shows an allocator whose calls throw where a size is too much for it, and a program that goes on after that. With
// STAND_IN it is the allocator: a library with a few of mimalloc's calls. Arguments: how often it throws, and blocks.
// build: -O2 -fomit-frame-pointer
#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "heap_books.h"

#if defined(STAND_IN)

// Memory of its own, given out once.
static void* allocate(size_t size, size_t alignment) {
  static const size_t kBytes = size_t{1} << 36;
  static uintptr_t next, end;
  if (size > kBytes) throw std::bad_alloc();
  if (next == 0) {
    void* all = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) abort();
    next = reinterpret_cast<uintptr_t>(all);
    end = next + kBytes;
  }
  const uintptr_t block = (next + alignment - 1) / alignment * alignment;
  if (size > end - block) throw std::bad_alloc();
  next = block + size;
  return reinterpret_cast<void*>(block);
}

extern "C" {
void* mi_malloc(size_t size) { return allocate(size, 16); }
void* mi_new(size_t size) { return allocate(size, 16); }
void* mi_new_aligned(size_t size, size_t alignment) { return allocate(size, alignment); }
void mi_free(void*) {}
}

#else

extern "C" {
__attribute__((weak)) void* mi_malloc(size_t size);
__attribute__((weak)) void* mi_new(size_t size);
__attribute__((weak)) void* mi_new_aligned(size_t size, size_t alignment);
__attribute__((weak)) void mi_free(void* block);
}

static struct Book malloc_book = {"calls_mi_malloc", 0, {}}, new_book = {"calls_mi_new", 0, {}},
                   aligned_book = {"calls_mi_new_aligned", 0, {}};
static struct Book* const books[] = {&malloc_book, &new_book, &aligned_book};

ALLOCATES(calls_mi_malloc, mi_malloc(size))
ALLOCATES(calls_mi_new, mi_new(size))
ALLOCATES(calls_mi_new_aligned, mi_new_aligned(size, 64))
ALLOCATES(fails_mi_new, mi_new(size))
ALLOCATES(fails_mi_new_aligned, mi_new_aligned(size, 64))

template <typename Function>
static int throws(Function function) {
  for (int shift = 50; shift < 63; ++shift) {
    try {
      function(size_t{1} << shift);
      return 0;
    } catch (const std::bad_alloc&) {
    }
  }
  return 1;
}

static void allocate(struct Book* book, void* (*function)(size_t), long blocks, int row) {
  for (long i = 0; i < blocks; ++i) {
    void* block = function(book->row[row].size);
    book_allocated(book, row);
    if (i % 2) continue;
    book_freed(book, row);
    mi_free(block);
  }
}

int main(int argc, char** argv) {
  const long failures = static_cast<long>(argument(argc, argv, 1, 1));
  const long blocks = static_cast<long>(argument(argc, argv, 2, 1000));
  if (!mi_malloc || !mi_new || !mi_new_aligned || !mi_free) return 3;
  for (struct Book* book : books) {
    row_of(book, 1000);
    row_of(book, 1 << 20);
  }
  long thrown = 0;
  for (long i = 0; i < failures; ++i) {
    thrown += throws(fails_mi_new) + throws(fails_mi_new_aligned);
    for (int row = 0; row < 2; ++row) {
      allocate(&malloc_book, calls_mi_malloc, blocks, row);
      allocate(&new_book, calls_mi_new, blocks, row);
      allocate(&aligned_book, calls_mi_new_aligned, blocks, row);
    }
  }
  printf("{\"thrown\": %ld, ", thrown);
  print_books("books", books, 3);
  printf("}\n");
}

#endif
