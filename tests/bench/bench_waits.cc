// What the profiles of waits and threads cost, one process a measurement; wait_bench.py runs it under each profiler.
//   bench_waits pair              ns for a pthread_mutex_lock and unlock that meet nobody, in a program of one thread
//   bench_waits pair_threads      the same beside a thread that sleeps: glibc takes shortcuts where there is none
//   bench_waits rwlock            ns for a pthread_rwlock_rdlock and unlock, in a program of one thread
//   bench_waits rwlock_write      ns for a pthread_rwlock_wrlock and unlock, likewise
//   bench_waits contended COUNT   so many threads lock, work 1 us, unlock and work 1 us: ns for one of these by any of them
//   bench_waits handover          two threads that give each other the turn by a mutex and a condition: ns for a turn
//   bench_waits create            us for a thread's creation and join
//   bench_waits stacks COUNT      so many threads asleep in five calls: ms from SIGUSR2 to the file stacks.1.txt here;
//                                 it needs PROF_STACKS=stacks.prof
// Pairs, turns and creations: the median of chunks. Turns and creations on one processor: where the other thread is put,
// and whether that one was idle, is ten times what is to be seen.

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Nanoseconds = std::chrono::duration<double, std::nano>;

constexpr auto kTime = std::chrono::milliseconds(120);
constexpr auto kContendedTime = std::chrono::milliseconds(250);
constexpr auto kPatience = std::chrono::seconds(30);
constexpr size_t kLeastChunks = 5;
constexpr size_t kMostChunks = 20000;
constexpr size_t kSmallStack = 64 << 10;

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "bench_waits: %s\n", what);
  exit(1);
}

// And the threads made from here on.
void stay_on_this_processor() {
  const int here = sched_getcpu();
  cpu_set_t set;
  CPU_ZERO(&set);
  if (here < 0) fail("no processor");
  CPU_SET(static_cast<size_t>(here), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("no affinity");
}

pthread_t start_thread(void* (*lives)(void*), void* argument = nullptr, size_t stack = 256 << 10) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, lives, argument) != 0) fail("no thread can be made");
  pthread_attr_destroy(&attributes);
  return thread;
}

// Of a call of `operation`, by chunks of so many for a fixed time: a profiler may be a thousand times slower than another.
template <typename Operation>
double median_ns(int chunk, Operation operation) {
  std::vector<double> chunks;
  chunks.reserve(kMostChunks);
  for (int i = 0; i < chunk; ++i) operation();
  const auto end = Clock::now() + kTime;
  while (chunks.size() < kMostChunks && (chunks.size() < kLeastChunks || Clock::now() < end)) {
    const auto start = Clock::now();
    for (int i = 0; i < chunk; ++i) operation();
    chunks.push_back(Nanoseconds(Clock::now() - start).count() / chunk);
  }
  const auto middle = chunks.begin() + static_cast<long>(chunks.size() / 2);
  std::nth_element(chunks.begin(), middle, chunks.end());
  return *middle;
}

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
int g_pipe[2];

double pair() {
  return median_ns(2000, [] {
    pthread_mutex_lock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
  });
}

void* sleep_until_pipe_closes(void*) {
  char byte;
  if (read(g_pipe[0], &byte, 1) < 0) fail("read");
  return nullptr;
}

double pair_beside_a_thread() {
  const pthread_t sleeper = start_thread(sleep_until_pipe_closes);
  const double result = pair();
  close(g_pipe[1]);
  pthread_join(sleeper, nullptr);
  return result;
}

double read_pair() {
  return median_ns(2000, [] {
    pthread_rwlock_rdlock(&g_rwlock);
    pthread_rwlock_unlock(&g_rwlock);
  });
}

double write_pair() {
  return median_ns(2000, [] {
    pthread_rwlock_wrlock(&g_rwlock);
    pthread_rwlock_unlock(&g_rwlock);
  });
}

// 800 multiplications that wait for each other: 2400 cycles, 1 us at 2.4 GHz. Always the same work, never a look at a clock.
void work_a_microsecond() {
  unsigned long value = 1;
  for (int i = 0; i < 800; ++i) {
    value *= 6364136223846793005ul;
    asm volatile("" : "+r"(value));
  }
}

struct alignas(128) Worker {
  pthread_t thread = {};
  long operations = 0;
};

std::atomic<bool> g_stop{false};
pthread_barrier_t g_start;
unsigned long g_in_mutex = 0;

void* contend(void* worker) {
  pthread_barrier_wait(&g_start);
  long operations = 0;
  while (!g_stop.load(std::memory_order_relaxed)) {
    pthread_mutex_lock(&g_mutex);
    work_a_microsecond();
    ++g_in_mutex;
    pthread_mutex_unlock(&g_mutex);
    work_a_microsecond();
    ++operations;
  }
  static_cast<Worker*>(worker)->operations = operations;
  return nullptr;
}

double contended(size_t count) {
  std::vector<Worker> workers(count);
  pthread_barrier_init(&g_start, nullptr, static_cast<unsigned>(count) + 1);
  for (Worker& worker : workers) worker.thread = start_thread(contend, &worker);
  pthread_barrier_wait(&g_start);
  const auto start = Clock::now();
  const timespec time = {0, std::chrono::nanoseconds(kContendedTime).count()};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  g_stop.store(true, std::memory_order_relaxed);
  // To the end of the last one's: each is in the count.
  for (const Worker& worker : workers) pthread_join(worker.thread, nullptr);
  const double took = Nanoseconds(Clock::now() - start).count();
  unsigned long operations = 0;
  for (const Worker& worker : workers) operations += static_cast<unsigned long>(worker.operations);
  if (operations != g_in_mutex) fail("the mutex excludes nobody");
  return took / static_cast<double>(operations);
}

enum class Turn { kMain, kOther, kOver };
Turn g_turn = Turn::kMain;

// Caller holds the mutex.
void give_turn(Turn to, Turn back) {
  g_turn = to;
  pthread_cond_signal(&g_cond);
  while (g_turn != back && g_turn != Turn::kOver) pthread_cond_wait(&g_cond, &g_mutex);
}

void* take_turns(void*) {
  pthread_mutex_lock(&g_mutex);
  while (g_turn != Turn::kOver) give_turn(Turn::kMain, Turn::kOther);
  pthread_mutex_unlock(&g_mutex);
  return nullptr;
}

double handover() {
  stay_on_this_processor();
  const pthread_t other = start_thread(take_turns);
  pthread_mutex_lock(&g_mutex);
  const double there_and_back = median_ns(50, [] { give_turn(Turn::kOther, Turn::kMain); });
  g_turn = Turn::kOver;
  pthread_cond_signal(&g_cond);
  pthread_mutex_unlock(&g_mutex);
  pthread_join(other, nullptr);
  return there_and_back / 2;
}

void* end_at_once(void*) { return nullptr; }

double creation_us() {
  stay_on_this_processor();
  return median_ns(20,
                   [] {
                     pthread_t thread;
                     if (pthread_create(&thread, nullptr, end_at_once, nullptr) != 0) fail("no thread can be made");
                     pthread_join(thread, nullptr);
                   }) /
         1000;
}

void sleep_in_mutex() {
  pthread_mutex_lock(&g_mutex);
  pthread_mutex_unlock(&g_mutex);
}

void sleep_in_condition() {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  for (;;) pthread_cond_wait(&g_cond, &mutex);
}

void sleep_in_nanosleep() {
  const timespec time = {100000, 0};
  nanosleep(&time, nullptr);
}

void sleep_in_poll() {
  pollfd polled = {g_pipe[0], POLLIN, 0};
  poll(&polled, 1, -1);
}

void sleep_in_read() { sleep_until_pipe_closes(nullptr); }

constexpr void (*kSleeps[])() = {sleep_in_mutex, sleep_in_condition, sleep_in_nanosleep, sleep_in_poll, sleep_in_read};

struct Sleeper {
  void (*sleep)() = nullptr;
  std::atomic<pid_t> id{0};
  std::atomic<bool> is_awake{false};
};

void* sleep_for_good(void* argument) {
  Sleeper* sleeper = static_cast<Sleeper*>(argument);
  sleeper->id.store(static_cast<pid_t>(syscall(SYS_gettid)));
  sleeper->sleep();
  sleeper->is_awake.store(true);
  return nullptr;
}

bool is_asleep(pid_t id) {
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("no such thread");
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) fail("a thread is gone");
  text[length] = '\0';
  const char* name_end = strrchr(text, ')');
  return name_end != nullptr && strncmp(name_end, ") S", 3) == 0;
}

double ms_of_stacks(size_t count) {
  constexpr const char* kFile = "stacks.1.txt";
  struct stat there;
  if (stat(kFile, &there) == 0) fail("stacks.1.txt is here already");
  std::vector<Sleeper> sleepers(count);
  pthread_mutex_lock(&g_mutex);
  for (size_t i = 0; i < count; ++i) {
    sleepers[i].sleep = kSleeps[i % std::size(kSleeps)];
    start_thread(sleep_for_good, &sleepers[i], kSmallStack);
  }
  const timespec rest = {0, 100'000};
  for (const Sleeper& sleeper : sleepers) {
    while (sleeper.id.load() == 0 || !is_asleep(sleeper.id.load())) nanosleep(&rest, nullptr);
  }
  const auto start = Clock::now();
  kill(getpid(), SIGUSR2);
  while (stat(kFile, &there) != 0) {
    if (Clock::now() - start > kPatience) fail("no stacks.1.txt");
    nanosleep(&rest, nullptr);
  }
  const double took = Nanoseconds(Clock::now() - start).count() / 1e6;
  for (const Sleeper& sleeper : sleepers) {
    if (sleeper.is_awake.load()) fail("a thread was woken");
  }
  // The threads sleep on: they end with the process, and `sleepers` is theirs until then.
  printf("%.3f\n", took);
  exit(0);
}

struct Mode {
  const char* name;
  double (*of_none)();
  double (*of_count)(size_t);
};

constexpr Mode kModes[] = {
    {"pair", pair, nullptr},           {"pair_threads", pair_beside_a_thread, nullptr},
    {"rwlock", read_pair, nullptr},    {"rwlock_write", write_pair, nullptr},
    {"contended", nullptr, contended}, {"handover", handover, nullptr},
    {"create", creation_us, nullptr},  {"stacks", nullptr, ms_of_stacks},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || pipe(g_pipe) != 0) return 2;
  for (const Mode& mode : kModes) {
    if (strcmp(argv[1], mode.name) != 0) continue;
    const long count = argc == 3 ? atol(argv[2]) : 0;
    if (argc != (mode.of_count != nullptr ? 3 : 2) || (mode.of_count != nullptr && count < 1)) return 2;
    printf("%.3f\n", mode.of_count != nullptr ? mode.of_count(static_cast<size_t>(count)) : mode.of_none());
    return 0;
  }
  return 2;
}
