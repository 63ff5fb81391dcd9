// The fuzz target of core/unwind, built with the address and undefined behaviour sanitizers: unwind_fuzz SECONDS [SEED [ROUND]].
// Without a seed the time is one. With a round it is that round alone, which is how a finding is repeated (`setarch -R` keeps the
// addresses too).
//
// A driver of its own, not libFuzzer: what is fed is not bytes but tables with stacks that fit them, and g++ has no libFuzzer.
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "core/unwind/unwind.h"
#include "tests/fuzz/fuzz.h"

using namespace prof;
using namespace prof::fuzz;

namespace {

struct Part {
  const char* name;
  void (*round)(Random*);
};
constexpr Part kParts[] = {
    {"tables", tables_round}, {"programs", programs_round}, {"stacks", stacks_round}, {"cache", cache_round}};
constexpr size_t kPartCount = sizeof(kParts) / sizeof(kParts[0]);

// A round that takes so much CPU time does not end: they take milliseconds.
constexpr time_t kHangs = 60;

uint64_t g_seed;
uint64_t g_round;

// At each finding's end.
void say_where(int) {
  dprintf(STDERR_FILENO, "unwind_fuzz: seed %llu, round %llu (%s)\n", static_cast<unsigned long long>(g_seed),
          static_cast<unsigned long long>(g_round), kParts[g_round % kPartCount].name);
}

void on_hang(int) { fail("a round of %ld s does not end", static_cast<long>(kHangs)); }

void run_round(uint64_t round) {
  g_round = round;
  const struct itimerval limit = {{0, 0}, {kHangs, 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  Random random(g_seed * 0x9e37'79b9'7f4a'7c15 + round);
  random.next();
  kParts[round % kPartCount].round(&random);
}

}  // namespace

// Each sanitizer has a runtime of its own; all of them, and fail(), end in SIGABRT.
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }

void prof::fuzz::fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "unwind_fuzz: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  abort();
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s SECONDS [SEED [ROUND]]\n", argv[0]);
    return 2;
  }
  const time_t end = time(nullptr) + atol(argv[1]);
  g_seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : static_cast<uint64_t>(time(nullptr));
  signal(SIGABRT, say_where);
  signal(SIGPROF, on_hang);
  unwind_start({});
  if (argc > 3) {
    run_round(strtoull(argv[3], nullptr, 0));
    printf("seed %llu, round %s: no finding\n", static_cast<unsigned long long>(g_seed), argv[3]);
    return 0;
  }
  printf("seed %llu\n", static_cast<unsigned long long>(g_seed));
  fflush(stdout);
  uint64_t rounds = 0;
  while (time(nullptr) < end) run_round(rounds++);
  printf("%llu rounds, no finding\n", static_cast<unsigned long long>(rounds));
}
