// Shows a program with its own operator new and delete, of every form, over malloc and free. They count their calls: what a
// program replaces is what it gets, also from the C++ library's own code. Prints the books of the functions that ask.
// build: -O2 -fomit-frame-pointer
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "heap_books.h"

static long news, deletes, refused;
static const size_t kHuge = static_cast<size_t>(-1) / 4;

__attribute__((noinline)) static void* from_malloc(size_t size) {
  void* block = malloc(size);
  if (!block) {
    ++refused;
    throw std::bad_alloc();
  }
  ++news;
  return block;
}

__attribute__((noinline)) static void* from_aligned_alloc(size_t size, std::align_val_t alignment) {
  void* block = aligned_alloc(static_cast<size_t>(alignment), size);
  if (!block) throw std::bad_alloc();
  ++news;
  return block;
}

__attribute__((noinline)) static void to_free(void* block) noexcept {
  deletes += block != nullptr;
  free(block);
}

void* operator new(size_t size) { return from_malloc(size); }
void* operator new[](size_t size) { return from_malloc(size); }
void* operator new(size_t size, std::align_val_t alignment) { return from_aligned_alloc(size, alignment); }
void* operator new[](size_t size, std::align_val_t alignment) { return from_aligned_alloc(size, alignment); }
void operator delete(void* block) noexcept { to_free(block); }
void operator delete[](void* block) noexcept { to_free(block); }
void operator delete(void* block, size_t) noexcept { to_free(block); }
void operator delete[](void* block, size_t) noexcept { to_free(block); }
void operator delete(void* block, std::align_val_t) noexcept { to_free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { to_free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { to_free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { to_free(block); }

ALLOCATES(makes, ::operator new(size))
ALLOCATES(makes_array, ::operator new[](size))
ALLOCATES(makes_aligned, ::operator new (size, std::align_val_t{256}))
// The C++ library's, which calls the program's.
ALLOCATES(makes_nothrow, ::operator new(size, std::nothrow))

// Never answered; the exception is an allocation of the C++ library's.
PLAIN_NAME NOT_INLINED void* refused_new(size_t size) {
  void* block = ::operator new(size);
  NOT_A_TAIL_CALL();
  return block;
}

// Allocates in the C++ library: a string of so many characters and its end.
PLAIN_NAME NOT_INLINED std::string* makes_string(size_t length) {
  auto* text = new std::string(length, 's');
  NOT_A_TAIL_CALL();
  return text;
}

int main() {
  Book books[5] = {};
  Book* pointers[5];
  const char* const names[] = {"makes", "makes_array", "makes_aligned", "makes_nothrow", "makes_string"};
  for (int i = 0; i < 5; ++i) {
    books[i].function = names[i];
    pointers[i] = &books[i];
  }
  void* (*const functions[])(size_t) = {makes, makes_array, makes_aligned, makes_nothrow};
  static std::vector<void*> kept;
  kept.reserve(5000);
  for (int i = 0; i < 1000; ++i) {
    for (int which = 0; which < 4; ++which) {
      const size_t size = 256 * (1 + static_cast<size_t>(i) % 5);
      void* block = functions[which](size);
      memset(block, which, size);
      const int row = row_of(&books[which], size);
      book_allocated(&books[which], row);
      if (i % 3) {
        kept.push_back(block);
        continue;
      }
      book_freed(&books[which], row);
      if (which == 1)
        ::operator delete[](block);
      else if (which == 2)
        ::operator delete (block, size, std::align_val_t{256});
      else if (i % 2)
        ::operator delete(block);
      else
        ::operator delete(block, size);
    }
    std::string* text = makes_string(400);
    const int object = row_of(&books[4], sizeof *text);
    const int characters = row_of(&books[4], 401);
    book_allocated(&books[4], object);
    book_allocated(&books[4], characters);
    if (i % 2) {
      delete text;
      book_freed(&books[4], object);
      book_freed(&books[4], characters);
    } else {
      kept.push_back(text);
    }
  }
  std::map<int, std::string> map;
  for (int i = 0; i < 500; ++i) map[i] = std::string(100, 'm');
  int caught = 0;
  try {
    refused_new(kHuge);
  } catch (const std::bad_alloc&) {
    ++caught;
  }
  const bool null = ::operator new(kHuge, std::nothrow) == nullptr;
  printf("{\"news\": %ld, \"deletes\": %ld, \"refused\": %ld, \"caught\": %d, \"null\": %d, ", news, deletes, refused,
         caught, null);
  print_books("books", pointers, 5);
  printf("}\n");
}
