// Shows a program with an allocator of its own inside: malloc, free and their kin over a fixed arena, as a program linked with a
// static jemalloc has them. The C library's calls and operator new reach it too. It aborts at a block that is not its own.
// build: -O2 -fomit-frame-pointer
#include <errno.h>

#include <cstring>
#include <new>
#include <string>

#include "heap_books.h"

namespace {

// Each block has its size in front; the last free one of each size class is first.
enum { kArena = 64 << 20, kHeader = 16, kClasses = 48 };
alignas(4096) char arena[kArena];
size_t used = 4096;
void* free_blocks[kClasses];
long taken, given_back;

int class_of(size_t size) {
  int index = 5;
  while ((size_t{1} << index) < size) ++index;
  return index;
}

size_t* size_in_front(void* block) {
  char* address = static_cast<char*>(block);
  if (address < arena || address >= arena + kArena) abort();
  return reinterpret_cast<size_t*>(address - kHeader);
}

void* take(size_t size, size_t alignment) {
  if (size > kArena / 4) {
    errno = ENOMEM;
    return nullptr;
  }
  ++taken;
  const int index = class_of(size);
  void* block = free_blocks[index];
  if (block != nullptr && alignment <= 16) {
    memcpy(&free_blocks[index], block, sizeof(void*));
  } else {
    const size_t start = (used + kHeader + alignment - 1) / alignment * alignment;
    if (start + (size_t{1} << index) > kArena) abort();
    used = start + (size_t{1} << index);
    block = arena + start;
  }
  *size_in_front(block) = size;
  return block;
}

}  // namespace

extern "C" {
__attribute__((used)) void* malloc(size_t size) { return take(size, 16); }
__attribute__((used)) void free(void* block) {
  if (block == nullptr) return;
  ++given_back;
  const int index = class_of(*size_in_front(block));
  memcpy(block, &free_blocks[index], sizeof(void*));
  free_blocks[index] = block;
}
__attribute__((used)) void* calloc(size_t count, size_t size) {
  void* block = take(count * size, 16);
  if (block != nullptr) {
    char* bytes = static_cast<char*>(block);
    for (size_t i = 0; i < count * size; ++i) {
      bytes[i] = 0;
      __asm__ volatile("" ::: "memory");  // not memset by another name, nor calloc
    }
  }
  return block;
}
__attribute__((used)) void* realloc(void* block, size_t size) {
  if (block == nullptr) return take(size, 16);
  void* larger = take(size, 16);
  if (larger == nullptr) return nullptr;
  const size_t before = *size_in_front(block);
  memcpy(larger, block, before < size ? before : size);
  free(block);
  return larger;
}
__attribute__((used)) void* aligned_alloc(size_t alignment, size_t size) { return take(size, alignment); }
__attribute__((used)) void* memalign(size_t alignment, size_t size) { return take(size, alignment); }
__attribute__((used)) int posix_memalign(void** result, size_t alignment, size_t size) {
  *result = take(size, alignment);
  return *result ? 0 : ENOMEM;
}
__attribute__((used)) size_t malloc_usable_size(void* block) { return block ? *size_in_front(block) : 0; }
}

ALLOCATES(mallocs, malloc(size))
ALLOCATES(news, ::operator new(size))
ALLOCATES(duplicates, strdup(size > 100 ? "a long text, to be copied" : "a short one"))

int main() {
  long wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    const size_t size = 1 + static_cast<size_t>(i) * 37 % 3000;
    char* blocks[] = {static_cast<char*>(mallocs(size)), static_cast<char*>(news(size)),
                      static_cast<char*>(duplicates(size))};
    memset(blocks[0], 1, size);
    memset(blocks[1], 2, size);
    blocks[0] = static_cast<char*>(realloc(blocks[0], size + 100));
    wrong += blocks[0][size - 1] != 1 || blocks[1][size - 1] != 2;
    wrong += strstr(blocks[2], size > 100 ? "copied" : "short") == nullptr;
    if (i % 10 == 0) continue;
    free(blocks[0]);
    if (i % 2)
      ::operator delete(blocks[1]);
    else
      free(blocks[1]);
    free(blocks[2]);
  }
  int caught = 0;
  try {
    news(size_t{1} << 40);
  } catch (const std::bad_alloc&) {
    ++caught;
  }
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i);
  printf("{\"wrong\": %ld, \"caught\": %d, \"length\": %zu, \"reached\": %d}\n", wrong, caught, text.size(),
         taken > 9000 && given_back > 8000);
}
