// Shows every operator new and delete, with what each has to answer: alignment, bad_alloc, new_handler, nothrow's
// null, a constructor that throws, a class's own operators. Prints one line a fact, then the books. What allocates
// has a function of its own, whose name is in the books.
// build: -std=c++20 -O2 -fomit-frame-pointer -pthread -Wno-alloc-size-larger-than -fsized-deallocation
#include <malloc.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "heap_books.h"

static volatile size_t huge = size_t{1} << 62;
static std::align_val_t current_alignment{64};

ALLOCATES(news, ::operator new(size))
ALLOCATES(news_array, ::operator new[](size))
ALLOCATES(news_nothrow, ::operator new(size, std::nothrow))
ALLOCATES(news_array_nothrow, ::operator new[](size, std::nothrow))
ALLOCATES(news_aligned, ::operator new(size, current_alignment))
ALLOCATES(news_array_aligned, ::operator new[](size, current_alignment))
ALLOCATES(news_aligned_nothrow, ::operator new(size, current_alignment, std::nothrow))
ALLOCATES(news_array_aligned_nothrow, ::operator new[](size, current_alignment, std::nothrow))
ALLOCATES(news_rounded, ::operator new(size, current_alignment))
ALLOCATES(news_empty, ::operator new(size))
ALLOCATES(mallocs, malloc(size))
// What throws or answers null must not be in the profile at all.
ALLOCATES(fails_new, ::operator new(size))
ALLOCATES(fails_array, ::operator new[](size))
ALLOCATES(fails_aligned, ::operator new(size, current_alignment))
ALLOCATES(fails_array_aligned, ::operator new[](size, current_alignment))
ALLOCATES(fails_nothrow, ::operator new(size, std::nothrow))
ALLOCATES(fails_array_nothrow, ::operator new[](size, std::nothrow))
ALLOCATES(fails_aligned_nothrow, ::operator new(size, current_alignment, std::nothrow))
ALLOCATES(fails_array_aligned_nothrow, ::operator new[](size, current_alignment, std::nothrow))

static Book all_books[40];
static Book* books[40];
static int book_count;

static Book* book_of(const char* function) {
  for (int i = 0; i < book_count; ++i)
    if (strcmp(books[i]->function, function) == 0) return books[i];
  books[book_count] = &all_books[book_count];
  books[book_count]->function = function;
  return books[book_count++];
}

static void booked(const char* function, size_t size, int allocated, int freed) {
  Book* book = book_of(function);
  const int row = row_of(book, size);
  for (int i = 0; i < allocated; ++i) book_allocated(book, row);
  for (int i = 0; i < freed; ++i) book_freed(book, row);
}

static void* called(const char* name, void* (*function)(size_t), size_t size, size_t alignment) {
  errno = 4711;
  void* block = function(size);
  const bool kept = errno == 4711;
  const size_t usable = malloc_usable_size(block);
  printf("%s(%zu, alignment %zu): %s, errno %s, %s, usable %s\n", name, size, alignment, block ? "block" : "null",
         kept ? "kept" : "set", reinterpret_cast<size_t>(block) % alignment ? "misaligned" : "aligned",
         usable >= size ? "enough" : "too little");
  memset(block, 0x5a, usable);
  booked(name, size, 1, 0);
  return block;
}
#define CALLED(function, size, alignment) called(#function, function, size, alignment)

static void freed(const char* name, size_t size) { booked(name, size, 0, 1); }

// One is kept, and one freed by each operator delete that may free it.
static void plain_operators() {
  for (size_t size = 1; size < 70000; size = size * 5 + 2) {
    CALLED(news, size, 16);
    ::operator delete(CALLED(news, size, 16));
    ::operator delete(CALLED(news, size, 16), size);
    ::operator delete(CALLED(news, size, 16), std::nothrow);
    for (int i = 0; i < 3; ++i) freed("news", size);
    CALLED(news_array, size, 16);
    ::operator delete[](CALLED(news_array, size, 16));
    ::operator delete[](CALLED(news_array, size, 16), size);
    ::operator delete[](CALLED(news_array, size, 16), std::nothrow);
    for (int i = 0; i < 3; ++i) freed("news_array", size);
    CALLED(news_nothrow, size, 16);
    ::operator delete(CALLED(news_nothrow, size, 16));
    freed("news_nothrow", size);
    CALLED(news_array_nothrow, size, 16);
    ::operator delete[](CALLED(news_array_nothrow, size, 16));
    freed("news_array_nothrow", size);
    // A block of malloc's, freed by free; and one of new's: with glibc's library the same, and programs do it.
    free(CALLED(mallocs, size, 16));
    free(CALLED(news, size, 16));
    freed("mallocs", size);
    freed("news", size);
  }
  ::operator delete(nullptr);
  ::operator delete[](nullptr);
  ::operator delete(nullptr, std::nothrow);
  ::operator delete(nullptr, current_alignment);
}

static void aligned_operators() {
  for (size_t alignment = 32; alignment <= 65536; alignment *= 8) {
    current_alignment = std::align_val_t{alignment};
    for (size_t size = alignment; size < 4 * alignment; size += alignment) {
      CALLED(news_aligned, size, alignment);
      ::operator delete(CALLED(news_aligned, size, alignment), current_alignment);
      ::operator delete(CALLED(news_aligned, size, alignment), size, current_alignment);
      ::operator delete(CALLED(news_aligned, size, alignment), current_alignment, std::nothrow);
      for (int i = 0; i < 3; ++i) freed("news_aligned", size);
      CALLED(news_array_aligned, size, alignment);
      ::operator delete[](CALLED(news_array_aligned, size, alignment), current_alignment);
      ::operator delete[](CALLED(news_array_aligned, size, alignment), size, current_alignment);
      ::operator delete[](CALLED(news_array_aligned, size, alignment), current_alignment, std::nothrow);
      for (int i = 0; i < 3; ++i) freed("news_array_aligned", size);
      CALLED(news_aligned_nothrow, size, alignment);
      ::operator delete(CALLED(news_aligned_nothrow, size, alignment), current_alignment, std::nothrow);
      freed("news_aligned_nothrow", size);
      CALLED(news_array_aligned_nothrow, size, alignment);
      ::operator delete[](CALLED(news_array_aligned_nothrow, size, alignment), current_alignment, std::nothrow);
      freed("news_array_aligned_nothrow", size);
    }
  }
  current_alignment = std::align_val_t{64};
  for (size_t size = 1; size < 1000; size *= 3) CALLED(news_rounded, size, 64);
  for (int i = 0; i < 5; ++i) CALLED(news_empty, 0, 16);
}

template <typename Function>
static void throws(const char* name, Function function) {
  errno = 4711;
  try {
    void* block = function(huge);
    printf("%s: %s\n", name, block ? "a block, oddly" : "null");
  } catch (const std::bad_alloc& error) {
    printf("%s: throws %s\n", name, error.what());
  }
}

static int handler_calls;
static void* reserve;

static void new_handler() {
  ++handler_calls;
  free(reserve);
  reserve = nullptr;
  if (handler_calls % 3 == 0) std::set_new_handler(nullptr);
}

static void throwing_handler() { throw std::runtime_error("from the new_handler"); }

static void failing_operators() {
  for (const bool handled : {false, true}) {
#define THROWS(function)                                  \
  std::set_new_handler(handled ? new_handler : nullptr);  \
  reserve = mallocs(1000);                                \
  throws(#function, function);                            \
  printf("%d calls of the new_handler\n", handler_calls); \
  if (reserve) free(reserve);                             \
  booked("mallocs", 1000, 1, 1)
    THROWS(fails_new);
    THROWS(fails_array);
    THROWS(fails_aligned);
    THROWS(fails_array_aligned);
    THROWS(fails_nothrow);
    THROWS(fails_array_nothrow);
    THROWS(fails_aligned_nothrow);
    THROWS(fails_array_aligned_nothrow);
  }
  std::set_new_handler(throwing_handler);
  try {
    fails_new(huge);
  } catch (const std::runtime_error& error) {
    printf("the handler's own exception: %s\n", error.what());
  }
  std::set_new_handler(nullptr);
}

// As a new expression does it, with a constructor that may throw: the block is given back.
struct Throws {
  explicit Throws(bool now) {
    if (now) throw 42;
  }
  char data[300];
};

PLAIN_NAME NOT_INLINED void* news_what_throws(bool now) {
  Throws* object = new Throws(now);
  NOT_A_TAIL_CALL();
  return object;
}

struct alignas(128) Wide {
  char data[256];
};

PLAIN_NAME NOT_INLINED Wide* news_wide(int count) {
  Wide* object = new Wide[static_cast<size_t>(count)];
  NOT_A_TAIL_CALL();
  return object;
}

struct Counted {
  static int alive;
  Counted() { ++alive; }
  ~Counted() { --alive; }
  char data[24];
};
int Counted::alive;

// With a count in front: 8 bytes more than the objects.
PLAIN_NAME NOT_INLINED Counted* news_counted(int count) {
  Counted* objects = new Counted[static_cast<size_t>(count)];
  NOT_A_TAIL_CALL();
  return objects;
}

// Operators of its own, over malloc: the leaf of its blocks is its own operator.
struct Special {
  static void* operator new(size_t size);
  static void operator delete(void* block);
  static void* operator new[](size_t size) { return ::operator new[](size); }
  static void operator delete[](void* block) { ::operator delete[](block); }
  char data[77];
};
NOT_INLINED void* Special::operator new(size_t size) {
  void* block = malloc(size + 3);
  NOT_A_TAIL_CALL();
  return block;
}
NOT_INLINED void Special::operator delete(void* block) { free(block); }

PLAIN_NAME NOT_INLINED Special* news_special() {
  Special* object = new Special;
  NOT_A_TAIL_CALL();
  return object;
}

PLAIN_NAME NOT_INLINED Special* news_special_array() {
  Special* objects = new Special[4];
  NOT_A_TAIL_CALL();
  return objects;
}

static void expressions() {
  for (int i = 0; i < 10; ++i) {
    try {
      void* object = news_what_throws(i % 2);
      booked("news_what_throws", sizeof(Throws), 1, 0);
      printf("constructed %s\n", object ? "an object" : "nothing");
    } catch (int value) {
      booked("news_what_throws", sizeof(Throws), 1, 1);
      printf("the constructor threw %d\n", value);
    }
    Wide* wide = news_wide(3);
    printf("wide: %s\n", reinterpret_cast<size_t>(wide) % 128 ? "misaligned" : "aligned");
    booked("news_wide", 3 * sizeof(Wide), 1, i % 2);
    if (i % 2) delete[] wide;
    Counted* objects = news_counted(7);
    printf("%d alive\n", Counted::alive);
    booked("news_counted", 7 * sizeof(Counted) + 8, 1, i % 2);
    if (i % 2) delete[] objects;
    Special* special = news_special();
    booked("Special::operator new", sizeof(Special) + 3, 1, i % 2);
    if (i % 2) delete special;
    special = news_special_array();
    booked("news_special_array", 4 * sizeof(Special), 1, i % 2);
    if (i % 2) delete[] special;
    alignas(Counted) char place[sizeof(Counted)];
    Counted* placed = new (place) Counted;  // allocates nothing
    placed->~Counted();
  }
}

// What the C++ library allocates by itself.
static void library() {
  std::map<std::string, std::vector<int>> map;
  for (int i = 0; i < 1000; ++i)
    map["a key that is too long to be kept in place " + std::to_string(i % 97)].push_back(i);
  size_t sum = 0;
  for (const auto& [key, values] : map) sum += key.size() * values.size();
  std::ostringstream text;
  for (int i = 0; i < 1000; ++i) text << i << ' ' << 0.5 * i << '\n';
  auto shared = std::make_shared<std::vector<double>>(1000, 1.5);
  std::weak_ptr<std::vector<double>> weak = shared;
  shared.reset();
  char large[200] = "captured";
  std::function<size_t()> function = [large] { return strlen(large); };
  std::pmr::vector<long> resource(1000, 7, std::pmr::new_delete_resource());
  int caught = 0;
  for (int i = 0; i < 100; ++i) {
    try {
      std::vector<int> vector;
      (void)vector.at(static_cast<size_t>(i));
    } catch (const std::out_of_range&) {
      ++caught;
    }
  }
  thread_local std::vector<int> local;
  long total = 0;
  std::thread([&total] {
    for (int i = 0; i < 1000; ++i) local.push_back(i);
    total = static_cast<long>(local.size());
  }).join();
  printf("library: %zu %zu %d %zu %ld %d %ld\n", sum, text.str().size(), weak.expired(), function(), resource[999],
         caught, total);
}

int main() {
  setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  plain_operators();
  aligned_operators();
  failing_operators();
  expressions();
  library();
  printf("{");
  print_books("books", books, book_count);
  printf("}\n");
}
