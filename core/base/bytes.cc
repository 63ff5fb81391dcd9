// memcpy and its kin for all of libprof.so, whose calls are linked to these (preload/wrapped.txt). Signal-safe.
//
// Not libc's: it picks the widest vector registers there are. A handler that uses them wakes the processor's wide units in a
// program that may not use any, and for some 10 us afterwards the program runs slower, at every tick: measured on sqlite3 at
// 1000 Hz, more than all the rest of the handler. String instructions leave them alone.

#include <cstddef>
#include <cstdint>

extern "C" {

void* __wrap_memcpy(void* to, const void* from, size_t bytes) {
  void* const result = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}

void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  if (reinterpret_cast<uintptr_t>(target) - reinterpret_cast<uintptr_t>(source) >= bytes) {
    return __wrap_memcpy(to, from, bytes);
  }
  while (bytes-- != 0) {
    target[bytes] = source[bytes];
    asm volatile("" : : : "memory");  // or the loop is taken for a memmove
  }
  return to;
}

void* __wrap_memset(void* to, int value, size_t bytes) {
  void* const result = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}

int __wrap_memcmp(const void* a, const void* b, size_t bytes) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t)) {
    uint64_t x;
    uint64_t y;
    __builtin_memcpy(&x, left, sizeof(x));
    __builtin_memcpy(&y, right, sizeof(y));
    if (x != y) break;
    left += sizeof(x);
    right += sizeof(y);
  }
  for (; bytes != 0; --bytes, ++left, ++right) {
    if (*left != *right) return *left < *right ? -1 : 1;
  }
  return 0;
}

}  // extern "C"
