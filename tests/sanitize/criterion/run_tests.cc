// run_tests: PROGRAM [NAME…] runs each test of the program in a child, but for those that are named; 1 if one failed or one was not there.
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sanitize/criterion/criterion.h"

namespace run_tests {
namespace {

// A test that hangs is ended by SIGALRM. Far more than any takes, on a loaded machine too.
constexpr unsigned kSecondsATest = 900;

Entry* g_first = nullptr;

void run(const Entry& test) {
  for (const Entry* entry = g_first; entry != nullptr; entry = entry->next) {
    const bool is_suites = entry->name == nullptr && std::strcmp(entry->suite, test.suite) == 0;
    if (is_suites && entry->options.init != nullptr) entry->options.init();
  }
  if (test.options.init != nullptr) test.options.init();
  test.body();
}

bool passes(const Entry& test) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSecondsATest);
    run(test);
    std::exit(0);  // not _exit: the sanitizers say then whether they found anything
  }
  int status = -1;
  const bool ended = child > 0 && waitpid(child, &status, 0) == child;
  if (ended && status == 0) return true;
  std::fprintf(stderr, "%s::%s: failed, wait status %#x\n", test.suite, test.name, static_cast<unsigned>(status));
  return false;
}

bool is_among(const char* name, char** first, char** end) {
  for (; first != end; ++first) {
    if (std::strcmp(*first, name) == 0) return true;
  }
  return false;
}

}  // namespace

Entry::Entry(const char* of_suite, const char* of_name, void (*does)(), Options has)
    : suite(of_suite), name(of_name), body(does), options(has) {
  Entry** last = &g_first;
  while (*last != nullptr) last = &(*last)->next;
  *last = this;
}

void fail(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
  std::abort();
}

int run_all(char** first_left_out, char** end) {
  int ran = 0;
  int failed = 0;
  long left_out = 0;
  for (const Entry* entry = g_first; entry != nullptr; entry = entry->next) {
    if (entry->name == nullptr) continue;
    if (is_among(entry->name, first_left_out, end)) {
      ++left_out;
      continue;
    }
    ++ran;
    if (!passes(*entry)) ++failed;
  }
  if (left_out != end - first_left_out) std::fprintf(stderr, "not all of the tests to leave out are there\n");
  std::printf("%d passed, %d failed, %ld left out\n", ran - failed, failed, left_out);
  return failed == 0 && ran > 0 && left_out == end - first_left_out ? 0 : 1;
}

}  // namespace run_tests

int main(int argc, char** argv) { return run_tests::run_all(argv + 1, argv + argc); }
