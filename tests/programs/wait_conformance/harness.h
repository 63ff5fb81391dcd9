// What all parts of wait_conformance.cc have: the line of a case, threads and processes to wait in, times to wait until.
// A case calls say(), or SAYS of a call that has to answer, in any thread; main() prints the line when it has returned.
// A child process says nothing itself: what it found out its parent says. All parts are one translation unit.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <new>
#include <string>
#include <vector>

enum { kMark = 77, kBadClock = 99, kCaseSeconds = 20, kAllSeconds = 60, kMillisecond = 1000000 };

// ---- The line of a case.

static std::string& line() {
  static auto* text = new std::string;  // never destroyed: the last stages come after static destructors
  return *text;
}

static const char* volatile current_case = "";
static std::atomic_flag line_taken;

static void say(const std::string& words) {
  int cancels = 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancels);
  while (line_taken.test_and_set()) usleep(100);
  line() += " " + words;
  line_taken.clear();
  pthread_setcancelstate(cancels, nullptr);
}

static void end_line(const std::string& name) {
  const std::string text = name + ":" + line() + "\n";
  line().clear();
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) _exit(5);
    if (n > 0) done += static_cast<size_t>(n);
  }
}

static void is_stuck(int) {
  const char* name = current_case;
  for (const char* words : {"stuck in ", name, ":", line().c_str(), "\n"})
    if (write(STDOUT_FILENO, words, strlen(words)) < 0) break;
  _exit(4);
}

static std::string named(int result) {
  const char* name = result > 0 && result != kMark ? strerrorname_np(result) : nullptr;
  return name != nullptr ? name : std::to_string(result);
}

template <typename Call>
static std::string answer(Call call) {
  errno = kMark;
  const int result = call();
  const int after = errno;
  return named(result) + "," + named(after);
}

template <typename Call>
static void says(const std::string& name, Call call) {
  const std::string words = answer(call);
  say(name + "=" + words);
}
#define SAYS(call) says(std::string(#call).substr(0, std::string(#call).find('(')), [&] { return call; })

// ---- Threads, processes, time.

template <typename Condition>
static void until(Condition condition) {
  while (!condition()) usleep(200);
}

// Until the thread sleeps in a futex call; or a while later, as no answer depends on it.
static void until_blocked(pid_t tid) {
  const std::string path = "/proc/" + std::to_string(tid) + "/syscall";
  for (int in_row = 0, tries = 0; in_row < 2 && tries < 5000; ++tries) {
    char text[8] = "";
    FILE* file = fopen(path.c_str(), "re");
    if (file == nullptr) return;
    in_row = fgets(text, sizeof text, file) != nullptr && strncmp(text, "202 ", 4) == 0 ? in_row + 1 : 0;
    fclose(file);
    usleep(300);
  }
}

class Thread {
 public:
  explicit Thread(std::function<void()> body, const pthread_attr_t* attributes = nullptr) : body_(std::move(body)) {
    created = pthread_create(&id, attributes, run, this);
  }
  Thread(const Thread&) = delete;
  ~Thread() {
    if (!is_joined) join();
  }
  pid_t tid() const {
    until([&] { return tid_ != 0; });
    return tid_;
  }
  void* join() {
    void* value = nullptr;
    is_joined = true;
    if (created == 0) pthread_join(id, &value);
    return value;
  }

  pthread_t id{};
  int created;
  bool is_joined = false;  // or detached

 private:
  static void* run(void* self) {
    static_cast<Thread*>(self)->tid_ = gettid();
    static_cast<Thread*>(self)->body_();
    return nullptr;
  }
  std::function<void()> body_;
  std::atomic<pid_t> tid_{0};
};

static void in_thread(std::function<void()> body) { Thread(std::move(body)).join(); }

// The answer of another thread.
template <typename Call>
static std::string others(Call call) {
  std::string words;
  in_thread([&] { words = answer(call); });
  return words;
}

// In a thread of SCHED_FIFO, if that is permitted: PTHREAD_PRIO_PROTECT has no other.
static void in_real_time(std::function<void()> body) {
  pthread_attr_t attributes;
  const sched_param parameters{.sched_priority = 1};
  pthread_attr_init(&attributes);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  pthread_attr_setschedparam(&attributes, &parameters);
  Thread thread(std::move(body), &attributes);
  if (thread.created != 0) say("not permitted: " + named(thread.created));
  pthread_attr_destroy(&attributes);
}

// Memory that children made by fork share, all zero; never unmapped.
template <typename Type>
static Type* shared_memory() {
  void* memory = mmap(nullptr, sizeof(Type), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(6);
  return new (memory) Type{};
}

struct Words {
  char text[400];
};

// A child that says what its body returns; or is killed when the body has returned.
class Child {
 public:
  template <typename Body>
  explicit Child(Body body, bool killed = false) : words_(shared_memory<Words>()) {
    pid = fork();
    if (pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(kCaseSeconds);
    const std::string words = body();
    strncpy(words_->text, words.c_str(), sizeof words_->text - 1);
    if (killed) raise(SIGKILL);
    _exit(3);
  }
  std::string ended() const {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    const bool exited = WIFEXITED(status);
    return std::string(words_->text) + (exited ? "|exit " : "|signal ") +
           std::to_string(exited ? WEXITSTATUS(status) : WTERMSIG(status));
  }
  pid_t pid;

 private:
  Words* words_;
};

enum class When { kPast, kNegative, kAhead, kFar, kNegativeNanoseconds, kBillionNanoseconds };

static timespec at(clockid_t clock, When when) {
  timespec time{};
  clock_gettime(clock, &time);
  switch (when) {
    case When::kPast:
      time.tv_sec -= 1;
      break;
    case When::kNegative:
      time.tv_sec = -1;
      break;
    case When::kAhead:
      time.tv_nsec += 20 * kMillisecond;
      if (time.tv_nsec >= 1000 * kMillisecond) ++time.tv_sec, time.tv_nsec -= 1000 * kMillisecond;
      break;
    case When::kFar:
      time.tv_sec += 1000;
      break;
    case When::kNegativeNanoseconds:
      time.tv_sec += 1, time.tv_nsec = -1;
      break;
    case When::kBillionNanoseconds:
      time.tv_sec += 1, time.tv_nsec = 1000 * kMillisecond;
      break;
  }
  return time;
}

struct Timing {
  const char* name;
  bool by_clock;  // the call that takes a clock
  clockid_t clock;
  When when;
};
static const Timing kTimings[] = {
    {"past", false, CLOCK_REALTIME, When::kPast},
    {"negative", false, CLOCK_REALTIME, When::kNegative},
    {"ahead", false, CLOCK_REALTIME, When::kAhead},
    {"nsec-1", false, CLOCK_REALTIME, When::kNegativeNanoseconds},
    {"nsec1e9", false, CLOCK_REALTIME, When::kBillionNanoseconds},
    {"realtime-past", true, CLOCK_REALTIME, When::kPast},
    {"realtime-ahead", true, CLOCK_REALTIME, When::kAhead},
    {"monotonic-past", true, CLOCK_MONOTONIC, When::kPast},
    {"monotonic-ahead", true, CLOCK_MONOTONIC, When::kAhead},
    {"monotonic-nsec1e9", true, CLOCK_MONOTONIC, When::kBillionNanoseconds},
    {"bad-clock", true, kBadClock, When::kAhead},
    {"cpu-clock", true, CLOCK_THREAD_CPUTIME_ID, When::kAhead},
};

using Timed = std::function<int(const timespec*)>;
using Clocked = std::function<int(clockid_t, const timespec*)>;

// Every timing of a call, which is not to succeed. `own` is the clock of a condition variable.
static void say_timings(const Timed& timed, const Clocked& clocked, clockid_t own = CLOCK_REALTIME,
                        bool takes_odd_times = true) {
  for (const Timing& timing : kTimings) {
    if (!takes_odd_times && strstr(timing.name, "nsec") != nullptr) continue;
    const clockid_t clock = timing.by_clock ? timing.clock : own;
    const timespec end = at(clock == kBadClock ? CLOCK_REALTIME : clock, timing.when);
    std::string words = answer([&] { return timing.by_clock ? clocked(clock, &end) : timed(&end); });
    timespec now{};
    if (words.find("ETIMEDOUT") != std::string::npos && clock_gettime(clock, &now) == 0 &&
        (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec)))
      words += " too early";
    say(std::string(timing.name) + "=" + words);
  }
}

static timespec far(clockid_t clock) { return at(clock, When::kFar); }

static std::string joined(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " ") + word;
  return "[" + all + "]";
}

// ---- What more than one part needs.

struct Value {
  const char* name;
  int value;
};
static const Value kSharing[] = {{"", PTHREAD_PROCESS_PRIVATE}, {"+shared", PTHREAD_PROCESS_SHARED}};

// A profiler's tick may end a wait that has an end, as any signal may: once more then, but not a third time.
template <typename Call>
static int but_for_a_tick(Call call) {
  const int before = errno, result = call();
  if (result != -1 || errno != EINTR) return result;
  errno = before;
  return call();
}

static int value_of(sem_t* sem) {
  int value = -7;
  sem_getvalue(sem, &value);
  return value;
}

static std::string text_of(void* value) {
  return value == PTHREAD_CANCELED ? "CANCELED" : std::to_string(reinterpret_cast<intptr_t>(value));
}

static void* returns_41(void*) { return reinterpret_cast<void*>(41); }
static void* exits_with_42(void*) { pthread_exit(reinterpret_cast<void*>(42)); }
static void* waits_for_sem(void* sem) {
  while (sem_wait(static_cast<sem_t*>(sem)) != 0) {
  }
  return reinterpret_cast<void*>(43);
}
