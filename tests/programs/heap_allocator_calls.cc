// Shows work that is the same over every allocator: the calls of the C and C++ standards, from four threads, a part of the blocks
// freed by another thread than took them. Every block is filled, and looked at before it goes. Prints the books, and how many
// blocks were found changed or misaligned. Argument: fork (a child does the work first, and ends by exit).
// build: -O2 -fomit-frame-pointer -pthread
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>

#include "heap_books.h"

namespace {

enum { kThreads = 4, kBlocks = 320, kRounds = 5, kAlignment = 64 };
constexpr size_t kSizes[] = {1, 8, 24, 64, 100, 512, 1000, 4096, 20000, 300000};
// For aligned_alloc's sake, by which the C++ library makes its aligned blocks.
constexpr size_t kAlignedSizes[] = {64, 128, 192, 256, 320, 512, 1024, 4096, 20032, 300032};
constexpr int kSizeCount = sizeof kSizes / sizeof *kSizes;

std::atomic<long> wrong, looked_at;

}  // namespace

static void* aligned_by_out_parameter(size_t size) {
  void* block = nullptr;
  if (posix_memalign(&block, kAlignment, size) != 0) abort();
  return block;
}

// What a block starts as, until `grows` has it.
static thread_local void* to_grow;

ALLOCATES(mallocs, malloc(size))
ALLOCATES(callocs, calloc(size, 1))
ALLOCATES(reallocs_nothing, realloc(nullptr, size))
ALLOCATES(grows, realloc(to_grow, size))
ALLOCATES(memaligns, memalign(kAlignment, size))
ALLOCATES(news, ::operator new(size))
ALLOCATES(news_array, ::operator new[](size))
ALLOCATES(news_nothrow, ::operator new(size, std::nothrow))
ALLOCATES(news_aligned, ::operator new (size, std::align_val_t{kAlignment}))

// Inlined, posix_memalign's caller is this function.
PLAIN_NAME NOT_INLINED void* posix_memaligns(size_t size) {
  void* block = aligned_by_out_parameter(size);
  NOT_A_TAIL_CALL();
  return block;
}

PLAIN_NAME NOT_INLINED void* duplicates(size_t size) {
  char text[300001];
  memset(text, 'd', size - 1);
  text[size - 1] = 0;
  void* block = strdup(text);
  NOT_A_TAIL_CALL();
  return block;
}

namespace {

enum Way { kFree, kDelete, kSizedDelete, kDeleteArray, kAlignedDelete };
struct Kind {
  void* (*take)(size_t);
  Way way;
  size_t alignment;
};
constexpr Kind kKinds[] = {{mallocs, kFree, 16},
                           {callocs, kFree, 16},
                           {reallocs_nothing, kFree, 16},
                           {memaligns, kFree, kAlignment},
                           {posix_memaligns, kFree, kAlignment},
                           {duplicates, kFree, 16},
                           {news, kSizedDelete, 16},
                           {news_array, kDeleteArray, 16},
                           {news_nothrow, kDelete, 16},
                           {news_aligned, kAlignedDelete, kAlignment}};
constexpr int kKindCount = sizeof kKinds / sizeof *kKinds;
constexpr int kGrows = kKindCount;

constexpr const char* kNames[] = {"mallocs",    "callocs", "reallocs_nothing", "memaligns",    "posix_memaligns",
                                  "duplicates", "news",    "news_array",       "news_nothrow", "news_aligned",
                                  "grows"};
Book books[kKindCount + 1];

struct Block {
  unsigned char* data;
  size_t size;
  int kind, book, row;
  unsigned char mark;
};
// What is live at the end is still pointed to: nothing leaks.
Block blocks[kThreads][kBlocks];
pthread_barrier_t barrier;

const size_t* sizes_of(int book) {
  return book < kKindCount && kKinds[book].take == news_aligned ? kAlignedSizes : kSizes;
}

void fill(Block* block) { memset(block->data, block->mark, block->size); }

void look_at(const Block* block) {
  ++looked_at;
  for (size_t i = 0; i < block->size; i += i + 9 < block->size ? 8 : 1) wrong += block->data[i] != block->mark;
}

void take(Block* block, uint64_t* state) {
  block->kind = block->book = int(next_number(state) % kKindCount);
  block->row = int(next_number(state) % kSizeCount);
  block->size = sizes_of(block->book)[block->row];
  const Kind& kind = kKinds[block->kind];
  block->data = static_cast<unsigned char*>(kind.take(block->size));
  // A small block of some allocators is aligned for what fits into it.
  const size_t alignment = kind.alignment > 16 || block->size >= 16 ? kind.alignment : 8;
  wrong += block->size >= 8 && reinterpret_cast<size_t>(block->data) % alignment != 0;
  if (kind.take == callocs)
    for (size_t i = 0; i < block->size; i += 7) wrong += block->data[i] != 0;
  block->mark = static_cast<unsigned char>(1 + next_number(state) % 255);
  fill(block);
  book_allocated(&books[block->book], block->row);
}

void grow(Block* block, uint64_t* state) {
  const size_t old_size = block->size;
  book_freed(&books[block->book], block->row);
  block->book = kGrows;
  block->row = int(next_number(state) % kSizeCount);
  block->size = kSizes[block->row];
  to_grow = block->data;
  block->data = static_cast<unsigned char*>(grows(block->size));
  book_allocated(&books[kGrows], block->row);
  const Block kept = {block->data, old_size < block->size ? old_size : block->size, 0, 0, 0, block->mark};
  look_at(&kept);
  fill(block);
}

void let_go(Block* block) {
  look_at(block);
  book_freed(&books[block->book], block->row);
  switch (kKinds[block->kind].way) {
    case kFree:
      free(block->data);
      break;
    case kDelete:
      ::operator delete(block->data);
      break;
    case kSizedDelete:
      ::operator delete(block->data, block->size);
      break;
    case kDeleteArray:
      ::operator delete[](block->data);
      break;
    case kAlignedDelete:
      ::operator delete (block->data, std::align_val_t{kAlignment});
      break;
  }
  block->data = nullptr;
}

void* work(void* argument) {
  const long self = reinterpret_cast<long>(argument);
  Block* const own = blocks[self];
  Block* const other = blocks[(self + 1) % kThreads];
  uint64_t state = 77 + static_cast<uint64_t>(self);
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kBlocks; ++i)
      if (!own[i].data) take(&own[i], &state);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < kBlocks; ++i)
      if (next_number(&state) % 2) let_go(&other[i]);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < kBlocks; ++i)
      if (own[i].data && kKinds[own[i].kind].way == kFree && next_number(&state) % 3 == 0) grow(&own[i], &state);
    for (int i = 0; i < kBlocks; ++i)
      if (own[i].data && next_number(&state) % 4 == 0) let_go(&own[i]);
    pthread_barrier_wait(&barrier);
  }
  for (int i = 0; i < kBlocks; ++i)
    if (own[i].data) look_at(&own[i]);
  return nullptr;
}

void work_and_print() {
  pthread_t threads[kThreads];
  pthread_barrier_init(&barrier, nullptr, kThreads);
  for (long i = 0; i < kThreads; ++i) pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i));
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  Book* pointers[kKindCount + 1];
  for (int i = 0; i <= kKindCount; ++i) pointers[i] = &books[i];
  printf("{\"wrong\": %ld, \"looked_at\": %ld, ", wrong.load(), looked_at.load());
  print_books("books", pointers, kKindCount + 1);
  printf("}\n");
  fflush(stdout);
}

}  // namespace

int main(int argc, char**) {
  for (int i = 0; i <= kKindCount; ++i) {
    books[i].function = kNames[i];
    for (int row = 0; row < kSizeCount; ++row) row_of(&books[i], sizes_of(i)[row]);
  }
  if (argc > 1) {
    const pid_t child = fork();
    if (child == 0) {
      work_and_print();
      exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0) return 3;
  }
  work_and_print();
}
