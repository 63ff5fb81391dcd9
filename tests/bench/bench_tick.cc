// What 1000 ticks a second cost a program that computes, within one process: short stretches of the same work (sqlite3's, by its
// library), in turn with the thread's perf events enabled and disabled (prctl), so that what the machine does meanwhile meets both alike.
// From run to run a virtual machine's speed differs by more than what is measured here.
//   bench_tick ROUNDS          under libprof.so, which has opened the events
//   bench_tick ROUNDS bare     with an event of its own and a handler that does nothing: what no profiler of this kind can go below
// Prints the median and the quartiles of the ratios, in percent: on against off, and off against off.

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kRow = 100;  // SQLITE_ROW
constexpr int kWarmUp = 20;
constexpr const char* kQuery =
    "with recursive c(x) as (select 1 union all select x+1 from c where x<30000) select count(*), sum(x*x%7) from c;";

using Open = int (*)(const char*, void**);
using Prepare = int (*)(void*, const char*, int, void**, const char**);
using Step = int (*)(void*);

struct Query {
  void* statement = nullptr;
  Step step = nullptr;
  Step reset = nullptr;
  void run() const {
    while (step(statement) == kRow) {
    }
    reset(statement);
  }
};

bool prepare(Query* query) {
  void* library = dlopen("libsqlite3.so.0", RTLD_NOW);
  if (library == nullptr) return false;
  void* database = nullptr;
  query->step = reinterpret_cast<Step>(dlsym(library, "sqlite3_step"));
  query->reset = reinterpret_cast<Step>(dlsym(library, "sqlite3_reset"));
  reinterpret_cast<Open>(dlsym(library, "sqlite3_open"))(":memory:", &database);
  const auto prepare = reinterpret_cast<Prepare>(dlsym(library, "sqlite3_prepare_v2"));
  return prepare(database, kQuery, -1, &query->statement, nullptr) == 0;
}

void handle_nothing(int) {}

bool open_own_event() {
  struct sigaction action = {};
  action.sa_handler = handle_nothing;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  struct perf_event_attr attr = {};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof(attr);
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.sample_period = 1'000'000;
  attr.exclude_hv = 1;
  attr.wakeup_events = 1;
  const int fd = static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
  struct f_owner_ex owner = {F_OWNER_TID, static_cast<pid_t>(syscall(SYS_gettid))};
  return fd >= 0 && fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_SETSIG, SIGPROF) == 0 &&
         fcntl(fd, F_SETFL, O_ASYNC) == 0;
}

double cpu_ms() {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

double timed(const Query& query, bool on) {
  prctl(on ? PR_TASK_PERF_EVENTS_ENABLE : PR_TASK_PERF_EVENTS_DISABLE);
  const double start = cpu_ms();
  query.run();
  return cpu_ms() - start;
}

void print(std::vector<double> ratios) {
  std::sort(ratios.begin(), ratios.end());
  const auto percent = [&](size_t part) { return 100 * (ratios[ratios.size() * part / 4] - 1); };
  printf("%+.2f %+.2f %+.2f\n", percent(2), percent(1), percent(3));
}

}  // namespace

int main(int argc, char** argv) {
  // One processor: the two have clocks, caches and neighbours of their own.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof(one), &one);
  Query query;
  if (argc < 2 || !prepare(&query) || (argc > 2 && !open_own_event())) return 2;
  std::vector<double> on;
  std::vector<double> off;
  for (int round = -kWarmUp; round < atoi(argv[1]); ++round) {
    double ms[3];
    for (int i = 0; i < 3; ++i) {
      const int which = (i + round + kWarmUp) % 3;
      ms[which] = timed(query, which == 1);
    }
    if (round < 0) continue;
    on.push_back(ms[1] / ms[0]);
    off.push_back(ms[2] / ms[0]);
  }
  prctl(PR_TASK_PERF_EVENTS_ENABLE);
  print(on);
  print(off);
}
