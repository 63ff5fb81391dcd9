// In Criterion's place where the unit tests run under a sanitizer or valgrind: of its names, those that the record side's tests use.
// Criterion executes the program anew for each test, with some thirty libraries, all of which valgrind would translate each time; here a
// test is a child of fork, and what is reported is of the test and of what it tests. main() is in run_tests.cc.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace run_tests {

struct Options {
  void (*init)() = nullptr;
  double timeout = 0;  // not kept: what it bounds is several times slower here
};

// One TEST(), or the options of a TestSuite(); each is a link of the program's one list.
struct Entry {
  const char* suite;
  const char* name;  // null: of the suite
  void (*body)();
  Options options;
  Entry* next = nullptr;

  Entry(const char* of_suite, const char* of_name, void (*does)(), Options has);
};

[[noreturn]] void fail(const char* file, int line, const char* condition);

}  // namespace run_tests

#define Test(suite, name, ...)                                                                         \
  static void suite##_##name##_body();                                                                 \
  static run_tests::Entry suite##_##name##_entry(#suite, #name, suite##_##name##_body, {__VA_ARGS__}); \
  static void suite##_##name##_body()
#define TestSuite(suite, ...) static run_tests::Entry suite##_options(#suite, nullptr, nullptr, {__VA_ARGS__})

// What a test says of a failure, after the condition, is left out: who sees one runs the test under Criterion.
#define cr_assert(condition, ...) \
  (static_cast<bool>(condition) ? void() : run_tests::fail(__FILE__, __LINE__, #condition))
#define cr_assert_not(condition, ...) cr_assert(!(condition))
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...) cr_assert((a) < (b))
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b))
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b))
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b))
#define cr_assert_null(a, ...) cr_assert((a) == nullptr)
#define cr_assert_not_null(a, ...) cr_assert((a) != nullptr)
#define cr_assert_str_eq(a, b, ...) cr_assert(std::strcmp(a, b) == 0)
#define cr_assert_float_eq(a, b, within, ...) cr_assert(std::fabs((a) - (b)) <= (within))
#define cr_log_info(...) static_cast<void>((std::fprintf(stderr, __VA_ARGS__), std::fputc('\n', stderr)))
