// What compilers make of functions: their beginnings, ends and frames of every kind. Compiled several times with other flags
// (Makefile, STEPPED_VARIANTS), each in a namespace of its own; stepping_test.cc goes through each instruction.
#include "tests/unit/unwind/stepped_functions.h"

#include <alloca.h>
#include <setjmp.h>

#include <cstdarg>
#include <cstring>
#include <stdexcept>

#ifdef __clang__
#define NOT_INLINED __attribute__((noinline))
#else
#define NOT_INLINED __attribute__((noipa))  // nor specialized for what it is called with
#endif

namespace prof::STEPPED {
namespace {

volatile long g_sink;

NOT_INLINED long leaf(long a) {
  g_sink = g_sink + a;
  return a * 3;
}

NOT_INLINED long recurse(int depth) {
  if (depth == 0) return leaf(1);
  return recurse(depth - 1) + depth;
}

NOT_INLINED long large_frame(long a) {
  volatile char room[300'000];
  room[0] = static_cast<char>(a);
  room[299'999] = static_cast<char>(leaf(a));
  return room[0] + room[299'999];
}

NOT_INLINED long variable_frame(unsigned long bytes) {
  auto* room = static_cast<volatile char*>(alloca(bytes));
  room[bytes / 2] = static_cast<char>(leaf(2));
  if (bytes > 100) {
    auto* more = static_cast<volatile char*>(alloca(bytes / 3));
    more[0] = room[bytes / 2];
    return leaf(more[0]);
  }
  return room[bytes / 2];
}

NOT_INLINED long aligned_frame(long a) {
  alignas(64) volatile long words[16];
  words[3] = leaf(a);
  return words[3] + leaf(words[3]);
}

NOT_INLINED long aligned_variable_frame(unsigned long bytes) {
  alignas(64) volatile long words[16];
  auto* room = static_cast<volatile char*>(alloca(bytes));
  room[0] = 1;
  words[3] = leaf(room[0]);
  return words[3];
}

// More of an argument list than registers hold, and more values that live through calls than registers are saved for.
NOT_INLINED long many_values(long a, long b, long c, long d, long e, long f, long g, long h) {
  const long p = leaf(a), q = leaf(b), r = leaf(c), s = leaf(d), t = leaf(e), u = leaf(f), v = leaf(g), w = leaf(h);
  const long x = leaf(p + q);
  if (x == 42) return p;  // an end before the end
  leaf(r);
  return (p ^ q) + (r ^ s) + (t ^ u) + (v ^ w) + a + b + c + d + e + f + g + h + x;
}

// The compiler may save registers only on the one of two ways that needs them (shrink-wrapping).
NOT_INLINED long two_ways(long a) {
  if (a < 10) return a;
  const long b = leaf(a);
  const long c = leaf(b);
  return b * c + leaf(c);
}

NOT_INLINED long last_hop(long a) { return leaf(a) + 1; }
NOT_INLINED long middle_hop(long a) { return last_hop(a + 1); }
NOT_INLINED long tail_calls(long a) { return middle_hop(leaf(a)); }

NOT_INLINED long variadic(int count, ...) {
  va_list values;
  va_start(values, count);
  long sum = 0;
  for (int i = 0; i < count; ++i) sum += static_cast<long>(va_arg(values, double));
  va_end(values);
  return leaf(sum);
}

struct Large {
  long words[20];
};
NOT_INLINED Large by_value(Large large) {
  large.words[leaf(3) % 20] = 1;
  return large;
}

NOT_INLINED long cases(int which) {
  switch (which) {
    case 0:
      return leaf(7);
    case 1:
      return leaf(8) + leaf(9);
    case 2:
      return recurse(2);
    case 3:
      return 17;
    case 4:
      return two_ways(11);
    default:
      return leaf(which);
  }
}

jmp_buf g_jump;

[[noreturn]] NOT_INLINED void jumps(long a) {
  leaf(a);
  longjmp(g_jump, 1);
}
NOT_INLINED long ends_in_jump(long a) {
  if (leaf(a) > 0) jumps(a);
  return 1;
}
NOT_INLINED long jump_out() {
  if (setjmp(g_jump) == 0) return ends_in_jump(3);
  return leaf(5);
}

struct Cleaned {
  ~Cleaned() { leaf(6); }
};

[[noreturn]] NOT_INLINED void throws(int depth) {
  const Cleaned cleaned;
  if (depth == 0) throw std::runtime_error("on purpose");
  throws(depth - 1);
}
NOT_INLINED void rethrows() {
  try {
    throws(3);
  } catch (const std::logic_error&) {
    leaf(1);
  } catch (...) {
    leaf(2);
    throw;
  }
}

}  // namespace

void call_all() {
  recurse(5);
  leaf(large_frame(1));
  variable_frame(50);
  variable_frame(5000);
  aligned_frame(1);
  aligned_variable_frame(333);
  many_values(1, 2, 3, 4, 5, 6, 7, 8);
  two_ways(1);
  two_ways(20);
  tail_calls(1);
  variadic(3, 1., 2., 3.);
  variadic(0);
  Large large = {};
  by_value(large);
  for (int which = 0; which < 7; ++which) cases(which);
}

const void* realigned_and_variable() { return reinterpret_cast<const void*>(aligned_variable_frame); }

void jump() { jump_out(); }

void throw_through() {
  try {
    rethrows();
  } catch (const std::exception& caught) {
    leaf(strlen(caught.what()) == 10);
  }
}

}  // namespace prof::STEPPED
