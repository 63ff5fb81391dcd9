// The atomics of what is compiled with -fno-inline-atomics, for drd: it knows the order that the C library's locks make, and nothing of
// what an atomic makes. Here it is told. What orders nothing (relaxed) tells it nothing, so that data which rests on that is a race.
//
// All but a load are locked instructions, which drd takes for reads: no race with one another, but with a plain write.
#include <sys/single_threaded.h>
#include <valgrind/drd.h>

#include <cstdint>

namespace {

bool acquires(int order) { return order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE; }
bool releases(int order) { return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST; }

// Each order that drd is told of makes all that follows slower; one thread has nobody to be ordered with.
void before(const volatile void* word, int order) {
  if (!__libc_single_threaded && releases(order)) ANNOTATE_HAPPENS_BEFORE(word);
}
void after(const volatile void* word, int order) {
  if (!__libc_single_threaded && acquires(order)) ANNOTATE_HAPPENS_AFTER(word);
}

}  // namespace

// The compiler's own names of them, which may not be declared.
#define NAMED(name, bytes) __asm__("__atomic_" #name "_" #bytes)

#define CHANGE(Word, bytes, name)                                                                 \
  extern "C" Word name##_##bytes(volatile void* word, Word value, int order) NAMED(name, bytes);  \
  Word name##_##bytes(volatile void* word, Word value, int order) {                               \
    before(word, order);                                                                          \
    const Word was = __atomic_##name(static_cast<volatile Word*>(word), value, __ATOMIC_SEQ_CST); \
    after(word, order);                                                                           \
    return was;                                                                                   \
  }

#define EXCHANGES(Word, bytes)                                                                                      \
  extern "C" Word load_##bytes(const volatile void* word, int order) NAMED(load, bytes);                            \
  Word load_##bytes(const volatile void* word, int order) {                                                         \
    const Word value = __atomic_load_n(static_cast<const volatile Word*>(word), __ATOMIC_SEQ_CST);                  \
    after(word, order);                                                                                             \
    return value;                                                                                                   \
  }                                                                                                                 \
  extern "C" Word exchange_##bytes(volatile void* word, Word value, int order) NAMED(exchange, bytes);              \
  Word exchange_##bytes(volatile void* word, Word value, int order) {                                               \
    before(word, order);                                                                                            \
    const Word was = __atomic_exchange_n(static_cast<volatile Word*>(word), value, __ATOMIC_SEQ_CST);               \
    after(word, order);                                                                                             \
    return was;                                                                                                     \
  }                                                                                                                 \
  extern "C" void store_##bytes(volatile void* word, Word value, int order) NAMED(store, bytes);                    \
  void store_##bytes(volatile void* word, Word value, int order) { exchange_##bytes(word, value, order); }          \
  extern "C" bool compare_exchange_##bytes(volatile void* word, void* wanted, Word value, int done, int not_done)   \
      NAMED(compare_exchange, bytes);                                                                               \
  bool compare_exchange_##bytes(volatile void* word, void* wanted, Word value, int done, int not_done) {            \
    before(word, done);                                                                                             \
    const bool is_done = __atomic_compare_exchange_n(static_cast<volatile Word*>(word), static_cast<Word*>(wanted), \
                                                     value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);             \
    after(word, is_done ? done : not_done);                                                                         \
    return is_done;                                                                                                 \
  }

#define WORD(Word, bytes)        \
  EXCHANGES(Word, bytes)         \
  CHANGE(Word, bytes, fetch_add) \
  CHANGE(Word, bytes, fetch_sub) \
  CHANGE(Word, bytes, fetch_and) \
  CHANGE(Word, bytes, fetch_or)  \
  CHANGE(Word, bytes, fetch_xor)

WORD(uint8_t, 1)
WORD(uint16_t, 2)
WORD(uint32_t, 4)
WORD(uint64_t, 8)
