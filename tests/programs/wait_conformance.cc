// Shows every call that waits or lets go, with what it has to answer: what it returns, errno (kMark before each call),
// the state that it leaves, the order of events. One line a case, without times, addresses or thread ids: the same in
// every run, and the same under libprof. `wait_conformance [PREFIX…]` runs the cases whose names begin so; the stages
// before main and after it always run. An answer is "returned,errno".
// build: -std=c++20 -O2 -fomit-frame-pointer -pthread
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <condition_variable>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <new>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

// The condition variable of 2002, by the version of its symbols.
extern "C" {
int old_cond_init(pthread_cond_t*, const pthread_condattr_t*);
int old_cond_destroy(pthread_cond_t*);
int old_cond_wait(pthread_cond_t*, pthread_mutex_t*);
int old_cond_timedwait(pthread_cond_t*, pthread_mutex_t*, const timespec*);
int old_cond_signal(pthread_cond_t*);
int old_cond_broadcast(pthread_cond_t*);
}
__asm__(".symver old_cond_init, pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_cond_destroy, pthread_cond_destroy@GLIBC_2.2.5");
__asm__(".symver old_cond_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_cond_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_cond_signal, pthread_cond_signal@GLIBC_2.2.5");
__asm__(".symver old_cond_broadcast, pthread_cond_broadcast@GLIBC_2.2.5");

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

// ---- Mutexes.

struct Value {
  const char* name;
  int value;
};
static const Value kTypes[] = {{"normal", PTHREAD_MUTEX_NORMAL},
                               {"recursive", PTHREAD_MUTEX_RECURSIVE},
                               {"errorcheck", PTHREAD_MUTEX_ERRORCHECK},
                               {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP}};
static const Value kProtocols[] = {
    {"", PTHREAD_PRIO_NONE}, {"+inherit", PTHREAD_PRIO_INHERIT}, {"+protect", PTHREAD_PRIO_PROTECT}};
static const Value kRobust[] = {{"", PTHREAD_MUTEX_STALLED}, {"+robust", PTHREAD_MUTEX_ROBUST}};
static const Value kSharing[] = {{"", PTHREAD_PROCESS_PRIVATE}, {"+shared", PTHREAD_PROCESS_SHARED}};

struct MutexKind {
  std::string name;
  int type, protocol, robust, sharing;
  bool is_recursive() const { return type == PTHREAD_MUTEX_RECURSIVE; }
  bool is_robust() const { return robust == PTHREAD_MUTEX_ROBUST; }
  bool is_shared() const { return sharing == PTHREAD_PROCESS_SHARED; }
  bool is_real_time() const { return protocol == PTHREAD_PRIO_PROTECT; }
  bool deadlocks() const { return type == PTHREAD_MUTEX_NORMAL || type == PTHREAD_MUTEX_ADAPTIVE_NP; }
  bool knows_owner() const { return !deadlocks() || is_robust(); }
};

static int make_mutex(const MutexKind& kind, pthread_mutex_t* mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, kind.type);
  pthread_mutexattr_setprotocol(&attributes, kind.protocol);
  pthread_mutexattr_setrobust(&attributes, kind.robust);
  pthread_mutexattr_setpshared(&attributes, kind.sharing);
  const int result = pthread_mutex_init(mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result;
}

static std::string state_of(pthread_mutex_t* mutex) {
  std::string state = "free";
  in_thread([&] {
    const int result = pthread_mutex_trylock(mutex);
    if (result != 0) state = named(result);
    if (result == EOWNERDEAD) pthread_mutex_consistent(mutex);
    if (result == 0 || result == EOWNERDEAD) pthread_mutex_unlock(mutex);
  });
  return state;
}
static void say_state(pthread_mutex_t* mutex) { say("state=" + state_of(mutex)); }

static void mutex_life(const MutexKind&, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = 1000 * kMillisecond;
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_unlock(m));
  SAYS(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
  SAYS(pthread_mutex_unlock(m));
  says("lock with bad nsec", [&] { return pthread_mutex_timedlock(m, &odd); });
  if (state_of(m) == "EBUSY") SAYS(pthread_mutex_unlock(m));
  says("lock with bad clock", [&] { return pthread_mutex_clocklock(m, kBadClock, &real); });
  if (state_of(m) == "EBUSY") SAYS(pthread_mutex_unlock(m));
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
  say("destroyed:");
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_relock(const MutexKind& kind, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  if (!kind.deadlocks()) SAYS(pthread_mutex_lock(m));
  if (kind.is_recursive()) {
    for (int i = 0; i < 2; ++i) SAYS(pthread_mutex_unlock(m));
    say_state(m);
  }
  if (!kind.is_recursive())
    say_timings([&](auto end) { return pthread_mutex_timedlock(m, end); },
                [&](auto clock, auto end) { return pthread_mutex_clocklock(m, clock, end); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  say_state(m);
}

static void mutex_depth(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_recursive()) return say("-");
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  for (int i = 0; i < 3; ++i) SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_trylock(m));
  SAYS(pthread_mutex_timedlock(m, &real));
  SAYS(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
  for (int i = 0; i < 6; ++i) {
    say_state(m);
    SAYS(pthread_mutex_unlock(m));
  }
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_not_owner(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.knows_owner()) return say("-");
  says("unlock of a free one", [&] { return pthread_mutex_unlock(m); });
  SAYS(pthread_mutex_lock(m));
  say("unlock by another=" + others([&] { return pthread_mutex_unlock(m); }));
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
}

static void mutex_busy(const MutexKind& kind, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  in_thread([&] {
    SAYS(pthread_mutex_trylock(m));
    say_timings([&](auto end) { return pthread_mutex_timedlock(m, end); },
                [&](auto clock, auto end) { return pthread_mutex_clocklock(m, clock, end); });
  });
  if (!kind.is_robust()) says("destroy of a held one", [&] { return pthread_mutex_destroy(m); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  say_state(m);
}

// Who waits gets it after it was let go; by each of the calls.
static void mutex_handed_over(const MutexKind&, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  const std::function<int()> calls[] = {[&] { return pthread_mutex_lock(m); },
                                        [&] { return pthread_mutex_timedlock(m, &real); },
                                        [&] { return pthread_mutex_clocklock(m, CLOCK_REALTIME, &real); },
                                        [&] { return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono); }};
  for (const auto& call : calls) {
    SAYS(pthread_mutex_lock(m));
    Thread waiter([&] {
      const std::string words = answer(call);
      say("got " + words);
      if (words == "0,77") SAYS(pthread_mutex_unlock(m));
    });
    until_blocked(waiter.tid());
    say("release");
    const std::string words = answer([&] { return pthread_mutex_unlock(m); });
    waiter.join();
    say("release=" + words);
  }
  say_state(m);
}

static void mutex_counts(const MutexKind&, pthread_mutex_t* m) {
  int inside = 0, most = 0, count = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int t = 0; t < 3; ++t)
    threads.push_back(std::make_unique<Thread>([&] {
      for (int i = 0; i < 500; ++i) {
        if (pthread_mutex_lock(m) != 0) say("lock failed");
        most = std::max(most, ++inside);
        count = count + 1;
        if (i % 100 == 0) sched_yield();
        --inside;
        if (pthread_mutex_unlock(m) != 0) say("unlock failed");
      }
    }));
  threads.clear();
  say("count=" + std::to_string(count) + " most inside=" + std::to_string(most));
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
}

// trylock is the last: glibc leaves a mutex that is not recoverable locked by it, and who comes then waits for ever.
static const char* const kDeathCalls[] = {"lock", "timedlock", "clocklock", "trylock"};

static int lock_by(const std::string& call, pthread_mutex_t* m) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  if (call == "lock") return pthread_mutex_lock(m);
  if (call == "trylock") return pthread_mutex_trylock(m);
  if (call == "timedlock") return pthread_mutex_timedlock(m, &real);
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono);
}

// The owner died: each call inherits the mutex, which is made consistent; at last it is not.
static void after_deaths(const MutexKind& kind, pthread_mutex_t* m, const std::function<void()>& owner_dies) {
  says("consistent of a healthy one", [&] { return pthread_mutex_consistent(m); });
  for (const char* call : kDeathCalls) {
    owner_dies();
    says(call, [&] { return lock_by(call, m); });
    say_state(m);
    SAYS(pthread_mutex_consistent(m));
    if (kind.is_recursive()) {
      SAYS(pthread_mutex_lock(m));
      SAYS(pthread_mutex_unlock(m));
      say_state(m);
    }
    SAYS(pthread_mutex_unlock(m));
    say_state(m);
  }
  owner_dies();
  SAYS(pthread_mutex_lock(m));
  SAYS(pthread_mutex_unlock(m));
  for (const char* call : kDeathCalls) says(call, [&] { return lock_by(call, m); });
  SAYS(pthread_mutex_consistent(m));
  SAYS(pthread_mutex_destroy(m));
}

static void mutex_thread_dies(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust()) return say("-");
  after_deaths(kind, m, [&] { in_thread([&] { SAYS(pthread_mutex_lock(m)); }); });
}

static void mutex_process_dies(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust() || !kind.is_shared()) return say("-");
  bool killed = false;
  after_deaths(kind, m, [&] {
    killed = !killed;
    say(Child([&] { return answer([&] { return pthread_mutex_lock(m); }); }, killed).ended());
  });
}

// Two wait for one whose owner dies; the first that gets it spoils it.
static void mutex_waits_for_dead(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_robust()) return say("-");
  std::atomic<bool> is_locked{false}, may_die{false};
  Thread owner([&] {
    SAYS(pthread_mutex_lock(m));
    is_locked = true;
    until([&] { return may_die.load(); });
  });
  until([&] { return is_locked.load(); });
  std::vector<std::string> words(2);
  const auto wait = [&](size_t i) {
    words[i] = answer([&] { return pthread_mutex_lock(m); });
    if (words[i] == "EOWNERDEAD,77") words[i] += " unlock=" + answer([&] { return pthread_mutex_unlock(m); });
  };
  Thread first([&] { wait(0); }), second([&] { wait(1); });
  until_blocked(first.tid());
  until_blocked(second.tid());
  may_die = true;
  owner.join(), first.join(), second.join();
  say(joined(words));
  say_state(m);
}

static void mutex_across_fork(const MutexKind& kind, pthread_mutex_t* m) {
  if (!kind.is_shared()) return say("-");
  auto* order = shared_memory<std::atomic<int>>();
  SAYS(pthread_mutex_lock(m));
  Child child([&] {
    std::string words = "trylock=" + answer([&] { return pthread_mutex_trylock(m); });
    words += " lock=" + answer([&] { return pthread_mutex_lock(m); });
    words += " order=" + std::to_string(++*order);
    return words + " unlock=" + answer([&] { return pthread_mutex_unlock(m); });
  });
  until_blocked(child.pid);
  usleep(2000);
  ++*order;
  SAYS(pthread_mutex_unlock(m));
  say(child.ended());
  say_state(m);
  SAYS(pthread_mutex_destroy(m));
}

// A condition variable lets it go and has it again.
static void mutex_under_cond(const MutexKind& kind, pthread_mutex_t* m) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int turns = 0;
  std::string released;
  SAYS(pthread_mutex_lock(m));
  Thread other([&] {
    SAYS(pthread_mutex_lock(m));
    ++turns;
    SAYS(pthread_cond_signal(&cond));
    released = answer([&] { return pthread_mutex_unlock(m); });
  });
  while (turns == 0) says("wait", [&] { return pthread_cond_wait(&cond, m); });
  other.join();
  say("release=" + released);
  say_state(m);
  const timespec end = at(CLOCK_REALTIME, When::kAhead);
  says("timedwait", [&] { return pthread_cond_timedwait(&cond, m, &end); });
  say_state(m);
  SAYS(pthread_mutex_unlock(m));
  if (kind.knows_owner()) {
    says("wait without it", [&] { return pthread_cond_wait(&cond, m); });
    says("timedwait without it", [&] { return pthread_cond_timedwait(&cond, m, &end); });
  }
  if (kind.is_robust()) {  // who signals dies with it
    SAYS(pthread_mutex_lock(m));
    Thread dies([&] {
      SAYS(pthread_mutex_lock(m));
      SAYS(pthread_cond_signal(&cond));
    });
    says("wait", [&] { return pthread_cond_wait(&cond, m); });
    SAYS(pthread_mutex_consistent(m));
    SAYS(pthread_mutex_unlock(m));
  }
  say_state(m);
}

// No cancellation point, of whatever kind it is.
static void mutex_cancelled(const MutexKind&, pthread_mutex_t* m) {
  SAYS(pthread_mutex_lock(m));
  Thread waiter([&] {
    const std::string words = answer([&] { return pthread_mutex_lock(m); });
    say("got " + words);
    SAYS(pthread_mutex_unlock(m));
    pthread_testcancel();
    say("went on");
  });
  until_blocked(waiter.tid());
  SAYS(pthread_cancel(waiter.id));
  usleep(2000);
  say("release");
  const std::string words = answer([&] { return pthread_mutex_unlock(m); });
  say(std::string(waiter.join() == PTHREAD_CANCELED ? "cancelled" : "ended") + " release=" + words);
  say_state(m);
}

struct MutexOperation {
  const char* name;
  void (*run)(const MutexKind&, pthread_mutex_t*);
};
static const MutexOperation kMutexOperations[] = {
    {"life", mutex_life},
    {"relock", mutex_relock},
    {"depth", mutex_depth},
    {"not_owner", mutex_not_owner},
    {"busy", mutex_busy},
    {"handed_over", mutex_handed_over},
    {"counts", mutex_counts},
    {"thread_dies", mutex_thread_dies},
    {"process_dies", mutex_process_dies},
    {"waits_for_dead", mutex_waits_for_dead},
    {"across_fork", mutex_across_fork},
    {"under_cond", mutex_under_cond},
    {"cancelled", mutex_cancelled},
};

static void run_mutex(const MutexKind& kind, const MutexOperation& operation) {
  auto* mutex = shared_memory<pthread_mutex_t>();
  const int result = make_mutex(kind, mutex);
  if (result != 0) return say("init=" + named(result));
  if (kind.is_real_time()) return in_real_time([&] { operation.run(kind, mutex); });
  operation.run(kind, mutex);
}

static void mutex_static() {
  pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                  errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
                  adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
  for (pthread_mutex_t* m : {&normal, &recursive, &errorcheck, &adaptive}) {
    SAYS(pthread_mutex_lock(m));
    if (m == &recursive || m == &errorcheck) SAYS(pthread_mutex_lock(m));
    SAYS(pthread_mutex_trylock(m));
    for (int i = 0; i < (m == &recursive ? 3 : 1); ++i) SAYS(pthread_mutex_unlock(m));
    say_state(m);
    SAYS(pthread_mutex_destroy(m));
  }
}

static int own_priority() {
  sched_param parameters{};
  sched_getparam(0, &parameters);
  return parameters.sched_priority;
}

static void mutex_ceiling() {
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_PROTECT);
  pthread_mutexattr_setprioceiling(&attributes, 5);
  pthread_mutex_init(&mutex, &attributes);
  const timespec end = far(CLOCK_REALTIME);
  say("not in real time:");  // a thread each: what failed is remembered as a priority that the thread had
  in_thread([&] { SAYS(pthread_mutex_lock(&mutex)); });
  in_thread([&] { SAYS(pthread_mutex_trylock(&mutex)); });
  in_thread([&] { SAYS(pthread_mutex_timedlock(&mutex, &end)); });
  say("in real time:");
  in_real_time([&] {
    SAYS(pthread_mutex_lock(&mutex));
    say("priority=" + std::to_string(own_priority()));
    SAYS(pthread_mutex_unlock(&mutex));
    say("priority=" + std::to_string(own_priority()));
    const sched_param above{.sched_priority = 6};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &above);
    SAYS(pthread_mutex_lock(&mutex));
    SAYS(pthread_mutex_trylock(&mutex));
    SAYS(pthread_mutex_timedlock(&mutex, &end));
  });
  SAYS(pthread_mutex_destroy(&mutex));
}

// ---- Read-write locks.

static const Value kPreferences[] = {{"readers", PTHREAD_RWLOCK_PREFER_READER_NP},
                                     {"writer", PTHREAD_RWLOCK_PREFER_WRITER_NP},
                                     {"writer_nonrecursive", PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}};

struct RwlockKind {
  std::string name;
  int preference, sharing;
};

static std::string state_of(pthread_rwlock_t* lock) {
  std::string state = "free";
  in_thread([&] {
    if (pthread_rwlock_trywrlock(lock) == 0) {
      pthread_rwlock_unlock(lock);
      return;
    }
    const int result = pthread_rwlock_tryrdlock(lock);
    state = result == 0 ? "read" : "written";
    if (result == 0) pthread_rwlock_unlock(lock);
  });
  return state;
}
static void say_state(pthread_rwlock_t* lock) { say("state=" + state_of(lock)); }

static void say_read_timings(pthread_rwlock_t* l) {
  say("reading:");
  say_timings([&](auto end) { return pthread_rwlock_timedrdlock(l, end); },
              [&](auto clock, auto end) { return pthread_rwlock_clockrdlock(l, clock, end); });
}
static void say_write_timings(pthread_rwlock_t* l) {
  say("writing:");
  say_timings([&](auto end) { return pthread_rwlock_timedwrlock(l, end); },
              [&](auto clock, auto end) { return pthread_rwlock_clockwrlock(l, clock, end); });
}

static void rwlock_life(const RwlockKind&, pthread_rwlock_t* l) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = -1;
  const std::pair<const char*, std::function<int()>> calls[] = {
      {"rdlock", [&] { return pthread_rwlock_rdlock(l); }},
      {"wrlock", [&] { return pthread_rwlock_wrlock(l); }},
      {"tryrdlock", [&] { return pthread_rwlock_tryrdlock(l); }},
      {"trywrlock", [&] { return pthread_rwlock_trywrlock(l); }},
      {"timedrdlock", [&] { return pthread_rwlock_timedrdlock(l, &real); }},
      {"timedwrlock", [&] { return pthread_rwlock_timedwrlock(l, &real); }},
      {"clockrdlock", [&] { return pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &mono); }},
      {"clockwrlock", [&] { return pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &mono); }},
      {"timedrdlock with bad nsec", [&] { return pthread_rwlock_timedrdlock(l, &odd); }},
      {"timedwrlock with bad nsec", [&] { return pthread_rwlock_timedwrlock(l, &odd); }},
      {"clockrdlock with bad clock", [&] { return pthread_rwlock_clockrdlock(l, kBadClock, &real); }},
      {"clockwrlock with bad clock", [&] { return pthread_rwlock_clockwrlock(l, kBadClock, &real); }},
  };
  for (const auto& [name, call] : calls) {
    says(name, call);
    const std::string state = state_of(l);
    say(state);
    if (state != "free") SAYS(pthread_rwlock_unlock(l));
  }
  SAYS(pthread_rwlock_destroy(l));
}

static void rwlock_readers(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_tryrdlock(l));
  SAYS(pthread_rwlock_trywrlock(l));
  say_write_timings(l);
  in_thread([&] {
    SAYS(pthread_rwlock_rdlock(l));
    SAYS(pthread_rwlock_trywrlock(l));
    SAYS(pthread_rwlock_unlock(l));
    say_write_timings(l);
  });
  for (int i = 0; i < 3; ++i) {
    say_state(l);
    SAYS(pthread_rwlock_unlock(l));
  }
  say_state(l);
}

static void rwlock_writer(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_wrlock(l));
  SAYS(pthread_rwlock_wrlock(l));
  SAYS(pthread_rwlock_rdlock(l));
  SAYS(pthread_rwlock_tryrdlock(l));
  SAYS(pthread_rwlock_trywrlock(l));
  say_read_timings(l);
  say_write_timings(l);
  say("another:");
  in_thread([&] {
    SAYS(pthread_rwlock_tryrdlock(l));
    SAYS(pthread_rwlock_trywrlock(l));
    say_read_timings(l);
    say_write_timings(l);
  });
  say_state(l);
  SAYS(pthread_rwlock_unlock(l));
  say_state(l);
}

// A writer waits for a reader: does another reader still come in?
static void rwlock_preference(const RwlockKind&, pthread_rwlock_t* l) {
  SAYS(pthread_rwlock_rdlock(l));
  Thread writer([&] {
    const std::string words = answer([&] { return pthread_rwlock_wrlock(l); });
    say("writes " + words);
    SAYS(pthread_rwlock_unlock(l));
  });
  until_blocked(writer.tid());
  usleep(2000);
  in_thread([&] {
    const timespec end = at(CLOCK_REALTIME, When::kAhead);
    says("a reader", [&] { return pthread_rwlock_tryrdlock(l) == 0 ? pthread_rwlock_unlock(l) : EBUSY; });
    says("a patient one",
         [&] { return pthread_rwlock_timedrdlock(l, &end) == 0 ? pthread_rwlock_unlock(l) : ETIMEDOUT; });
  });
  say("release");
  const std::string words = answer([&] { return pthread_rwlock_unlock(l); });
  writer.join();
  say("release=" + words);
  say_state(l);
}

static void rwlock_handed_over(const RwlockKind&, pthread_rwlock_t* l) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  const std::function<int()> calls[] = {
      [&] { return pthread_rwlock_rdlock(l); },
      [&] { return pthread_rwlock_wrlock(l); },
      [&] { return pthread_rwlock_timedrdlock(l, &real); },
      [&] { return pthread_rwlock_timedwrlock(l, &real); },
      [&] { return pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &mono); },
      [&] { return pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &mono); },
  };
  for (const auto& call : calls) {
    SAYS(pthread_rwlock_wrlock(l));
    Thread waiter([&] {
      const std::string words = answer(call);
      say("got " + words + " " + state_of(l));
      SAYS(pthread_rwlock_unlock(l));
    });
    until_blocked(waiter.tid());
    say("release");
    const std::string words = answer([&] { return pthread_rwlock_unlock(l); });
    waiter.join();
    say("release=" + words);
  }
  // All readers at once, and they are inside together.
  std::atomic<int> inside{0};
  SAYS(pthread_rwlock_wrlock(l));
  const auto read = [&] {
    if (pthread_rwlock_rdlock(l) != 0) say("rdlock failed");
    ++inside;
    until([&] { return inside == 3; });
    if (pthread_rwlock_unlock(l) != 0) say("unlock failed");
  };
  {
    Thread one(read), two(read), three(read);
    until_blocked(three.tid());
    SAYS(pthread_rwlock_unlock(l));
  }
  say("inside=" + std::to_string(inside));
  say_state(l);
}

static void rwlock_counts(const RwlockKind&, pthread_rwlock_t* l) {
  int count = 0;
  std::atomic<int> torn{0};
  const auto write = [&] {
    for (int i = 0; i < 500; ++i) {
      pthread_rwlock_wrlock(l);
      ++count;
      if (i % 100 == 0) sched_yield();
      ++count;
      pthread_rwlock_unlock(l);
    }
  };
  const auto read = [&] {
    for (int i = 0; i < 500; ++i) {
      pthread_rwlock_rdlock(l);
      torn += count % 2;
      pthread_rwlock_unlock(l);
    }
  };
  { Thread a(write), b(write), c(read), d(read); }
  say("count=" + std::to_string(count) + " torn=" + std::to_string(torn));
  say_state(l);
  SAYS(pthread_rwlock_destroy(l));
}

static void rwlock_across_fork(const RwlockKind& kind, pthread_rwlock_t* l) {
  if (kind.sharing != PTHREAD_PROCESS_SHARED) return say("-");
  for (const bool writes : {false, true}) {
    auto* order = shared_memory<std::atomic<int>>();
    SAYS(pthread_rwlock_wrlock(l));
    Child child([&] {
      std::string words = "try=" + answer([&] { return pthread_rwlock_tryrdlock(l); }) + " lock=";
      words += answer([&] { return writes ? pthread_rwlock_wrlock(l) : pthread_rwlock_rdlock(l); });
      words += " order=" + std::to_string(++*order);
      return words + " unlock=" + answer([&] { return pthread_rwlock_unlock(l); });
    });
    until_blocked(child.pid);
    usleep(2000);
    ++*order;
    SAYS(pthread_rwlock_unlock(l));
    say(child.ended());
    say_state(l);
  }
}

struct RwlockOperation {
  const char* name;
  void (*run)(const RwlockKind&, pthread_rwlock_t*);
};
static const RwlockOperation kRwlockOperations[] = {
    {"life", rwlock_life},
    {"readers", rwlock_readers},
    {"writer", rwlock_writer},
    {"preference", rwlock_preference},
    {"handed_over", rwlock_handed_over},
    {"counts", rwlock_counts},
    {"across_fork", rwlock_across_fork},
};

static void run_rwlock(const RwlockKind& kind, const RwlockOperation& operation) {
  auto* lock = shared_memory<pthread_rwlock_t>();
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, kind.preference);
  pthread_rwlockattr_setpshared(&attributes, kind.sharing);
  says("init", [&] { return pthread_rwlock_init(lock, &attributes); });
  pthread_rwlockattr_destroy(&attributes);
  operation.run(kind, lock);
}

// ---- Spin locks.

static void spin_lock(int sharing) {
  auto* spin = shared_memory<pthread_spinlock_t>();
  SAYS(pthread_spin_init(spin, sharing));
  SAYS(pthread_spin_lock(spin));
  SAYS(pthread_spin_trylock(spin));
  say("another=" + others([&] { return pthread_spin_trylock(spin); }));
  Thread waiter([&] {
    const std::string words = answer([&] { return pthread_spin_lock(spin); });
    say("got " + words);
    SAYS(pthread_spin_unlock(spin));
  });
  usleep(5000);
  say("release");
  const std::string words = answer([&] { return pthread_spin_unlock(spin); });
  waiter.join();
  say("release=" + words);
  int count = 0;
  const auto counts = [&] {
    for (int i = 0; i < 1000; ++i) {
      pthread_spin_lock(spin);
      count = count + 1;
      pthread_spin_unlock(spin);
    }
  };
  { Thread a(counts), b(counts); }
  say("count=" + std::to_string(count));
  if (sharing == PTHREAD_PROCESS_SHARED) {
    SAYS(pthread_spin_lock(spin));
    Child child([&] { return answer([&] { return pthread_spin_lock(spin); }); });
    usleep(5000);
    SAYS(pthread_spin_unlock(spin));
    say(child.ended());
    say("state=" + others([&] { return pthread_spin_trylock(spin); }));
    SAYS(pthread_spin_unlock(spin));
  }
  SAYS(pthread_spin_destroy(spin));
}

// ---- Condition variables.

struct Cond {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int tickets, woken, waiting;
};

static Cond* make_cond(clockid_t clock, int sharing) {
  auto* c = shared_memory<Cond>();
  make_mutex({"", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, sharing}, &c->mutex);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, clock);
  pthread_condattr_setpshared(&attributes, sharing);
  says("init", [&] { return pthread_cond_init(&c->cond, &attributes); });
  pthread_condattr_destroy(&attributes);
  return c;
}

static void cond_timeouts(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  SAYS(pthread_cond_signal(&c->cond));  // nobody waits: not kept
  SAYS(pthread_cond_broadcast(&c->cond));
  SAYS(pthread_mutex_lock(&c->mutex));
  say_timings([&](auto end) { return pthread_cond_timedwait(&c->cond, &c->mutex, end); },
              [&](auto id, auto end) { return pthread_cond_clockwait(&c->cond, &c->mutex, id, end); }, clock);
  say_state(&c->mutex);
  SAYS(pthread_mutex_unlock(&c->mutex));
  SAYS(pthread_cond_destroy(&c->cond));
}

// Three wait, by each of the calls; one is let go by a signal, the others by a broadcast.
static void cond_wakes(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  const timespec own = far(clock), mono = far(CLOCK_MONOTONIC), real = far(CLOCK_REALTIME);
  const std::function<int()> waits[] = {
      [&] { return pthread_cond_wait(&c->cond, &c->mutex); },
      [&] { return pthread_cond_timedwait(&c->cond, &c->mutex, &own); },
      [&] { return pthread_cond_clockwait(&c->cond, &c->mutex, CLOCK_MONOTONIC, &mono); },
      [&] { return pthread_cond_clockwait(&c->cond, &c->mutex, CLOCK_REALTIME, &real); },
  };
  for (const auto& wait : waits) {
    c->tickets = c->woken = c->waiting = 0;
    std::string wrong;
    const auto body = [&] {
      pthread_mutex_lock(&c->mutex);
      ++c->waiting;
      while (c->tickets == 0) {
        const std::string words = answer(wait);
        if (words != "0,77") wrong += words;
        if (pthread_mutex_trylock(&c->mutex) != EBUSY) wrong += "not held";
      }
      --c->tickets;
      ++c->woken;
      pthread_mutex_unlock(&c->mutex);
    };
    const auto under_lock = [&](auto get) {
      pthread_mutex_lock(&c->mutex);
      const auto got = get();
      pthread_mutex_unlock(&c->mutex);
      return got;
    };
    const auto wakes = [&](int tickets, int (*wake)(pthread_cond_t*), int in_all) {
      const std::string words = under_lock([&] {
        c->tickets = tickets;
        return answer([&] { return wake(&c->cond); });
      });
      until([&] { return under_lock([&] { return c->woken; }) == in_all; });
      say(words + "->" + std::to_string(in_all));
    };
    {
      Thread one(body), two(body), three(body);
      until([&] { return under_lock([&] { return c->waiting; }) == 3; });
      wakes(1, pthread_cond_signal, 1);
      wakes(2, pthread_cond_broadcast, 3);
    }
    say("woken=" + std::to_string(c->woken) + " tickets=" + std::to_string(c->tickets) + wrong);
  }
  say_state(&c->mutex);
  SAYS(pthread_cond_destroy(&c->cond));
}

// Two threads, turn and turn about.
static void cond_turns(clockid_t clock, int sharing) {
  Cond* c = make_cond(clock, sharing);
  std::string order;
  const auto take_turns = [&](int who) {
    for (int i = 0; i < 10; ++i) {
      pthread_mutex_lock(&c->mutex);
      while (c->woken % 2 != who)
        if (pthread_cond_wait(&c->cond, &c->mutex) != 0) say("wait failed");
      ++c->woken;
      order += static_cast<char>('a' + who);
      pthread_cond_signal(&c->cond);
      pthread_mutex_unlock(&c->mutex);
    }
  };
  {
    Thread a([&] { take_turns(0); }), b([&] { take_turns(1); });
  }
  say(order);
  SAYS(pthread_cond_destroy(&c->cond));
}

static void cond_across_fork(clockid_t clock, int sharing) {
  if (sharing != PTHREAD_PROCESS_SHARED) return say("-");
  Cond* c = make_cond(clock, sharing);
  SAYS(pthread_mutex_lock(&c->mutex));
  Child child([&] {
    std::string words = "lock=" + answer([&] { return pthread_mutex_lock(&c->mutex); });
    c->tickets = 1;
    words += " signal=" + answer([&] { return pthread_cond_signal(&c->cond); });
    while (c->tickets == 1)
      if (const auto wait = answer([&] { return pthread_cond_wait(&c->cond, &c->mutex); }); wait != "0,77")
        words += wait;
    return words + " unlock=" + answer([&] { return pthread_mutex_unlock(&c->mutex); });
  });
  while (c->tickets == 0) says("wait", [&] { return pthread_cond_wait(&c->cond, &c->mutex); });
  c->tickets = 2;
  SAYS(pthread_cond_broadcast(&c->cond));
  SAYS(pthread_mutex_unlock(&c->mutex));
  say(child.ended());
  say_state(&c->mutex);
}

struct CondOperation {
  const char* name;
  void (*run)(clockid_t, int);
};
static const CondOperation kCondOperations[] = {
    {"timeouts", cond_timeouts}, {"wakes", cond_wakes}, {"turns", cond_turns}, {"across_fork", cond_across_fork}};
static const Value kClocks[] = {{"realtime", CLOCK_REALTIME}, {"monotonic", CLOCK_MONOTONIC}};

// The old ones: linked to, and looked up.
struct OldCond {
  long words[6];  // LinuxThreads' 48 bytes
};
struct OldCalls {
  int (*init)(pthread_cond_t*, const pthread_condattr_t*);
  int (*destroy)(pthread_cond_t*);
  int (*wait)(pthread_cond_t*, pthread_mutex_t*);
  int (*timedwait)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  int (*signal)(pthread_cond_t*);
  int (*broadcast)(pthread_cond_t*);
};
static const OldCalls kLinkedOldCalls{old_cond_init,      old_cond_destroy, old_cond_wait,
                                      old_cond_timedwait, old_cond_signal,  old_cond_broadcast};

template <typename Function>
static void look_up(Function& function, const char* name, const char* version) {
  void* found = version != nullptr ? dlvsym(RTLD_DEFAULT, name, version) : dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) say(std::string("no ") + name);
  function = reinterpret_cast<Function>(found);
}

static OldCalls looked_up_calls(const char* version) {
  OldCalls calls;
  look_up(calls.init, "pthread_cond_init", version);
  look_up(calls.destroy, "pthread_cond_destroy", version);
  look_up(calls.wait, "pthread_cond_wait", version);
  look_up(calls.timedwait, "pthread_cond_timedwait", version);
  look_up(calls.signal, "pthread_cond_signal", version);
  look_up(calls.broadcast, "pthread_cond_broadcast", version);
  return calls;
}

// In `size` bytes; those after them are not touched.
static void cond_by_calls(const OldCalls& calls, size_t size) {
  union {
    OldCond old;
    pthread_cond_t current;
    unsigned char bytes[64];
  } memory;
  for (const bool made : {false, true}) {  // by its initialiser, and by its function
    memset(&memory, 0xa5, sizeof memory);
    memset(&memory, 0, size);
    pthread_cond_t* cond = &memory.current;
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    if (made) says("init", [&] { return calls.init(cond, nullptr); });
    says("signal to nobody", [&] { return calls.signal(cond); });
    says("broadcast to nobody", [&] { return calls.broadcast(cond); });
    pthread_mutex_lock(&mutex);
    for (const auto& timing : {kTimings[0], kTimings[2], kTimings[4]}) {
      const timespec end = at(CLOCK_REALTIME, timing.when);
      says(timing.name, [&] { return calls.timedwait(cond, &mutex, &end); });
    }
    say_state(&mutex);
    pthread_mutex_unlock(&mutex);
    for (const bool is_timed : {false, true}) {
      int waiting = 0, woken = 0, tickets = 0;
      const timespec end = far(CLOCK_REALTIME);
      const auto body = [&] {
        pthread_mutex_lock(&mutex);
        ++waiting;
        while (tickets == 0)
          if (const auto words =
                  answer([&] { return is_timed ? calls.timedwait(cond, &mutex, &end) : calls.wait(cond, &mutex); });
              words != "0,77")
            say(words);
        --tickets;
        ++woken;
        pthread_mutex_unlock(&mutex);
      };
      const auto reaches = [&](int& count, int value) {
        until([&] {
          pthread_mutex_lock(&mutex);
          const bool is_reached = count == value;
          pthread_mutex_unlock(&mutex);
          return is_reached;
        });
        say(std::to_string(value));
      };
      Thread one(body), two(body), three(body);
      reaches(waiting, 3);
      pthread_mutex_lock(&mutex);
      tickets = 1;
      says("signal", [&] { return calls.signal(cond); });
      pthread_mutex_unlock(&mutex);
      reaches(woken, 1);
      pthread_mutex_lock(&mutex);
      tickets = 2;
      says("broadcast", [&] { return calls.broadcast(cond); });
      pthread_mutex_unlock(&mutex);
      reaches(woken, 3);
    }
    says("destroy", [&] { return calls.destroy(cond); });
    bool touched = false;
    for (size_t i = size; i < sizeof memory; ++i) touched = touched || memory.bytes[i] != 0xa5;
    say(touched ? "wrote beyond" : "kept to its size");
  }
}

// ---- Semaphores.

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

static void sem_calls(sem_t* sem) {
  const timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  timespec odd = real;
  odd.tv_nsec = -1;
  for (int i = 0; i < 6; ++i) SAYS(sem_post(sem));
  say("value=" + std::to_string(value_of(sem)));
  SAYS(sem_wait(sem));
  SAYS(sem_trywait(sem));
  SAYS(sem_timedwait(sem, &real));
  SAYS(sem_clockwait(sem, CLOCK_MONOTONIC, &mono));
  says("with bad nsec", [&] { return sem_timedwait(sem, &odd); });
  says("with bad clock", [&] { return sem_clockwait(sem, kBadClock, &real); });
  while (sem_trywait(sem) == 0) say("one more");
  SAYS(sem_trywait(sem));
  say("value=" + std::to_string(value_of(sem)));
  say_timings([&](auto end) { return but_for_a_tick([&] { return sem_timedwait(sem, end); }); },
              [&](auto clock, auto end) { return but_for_a_tick([&] { return sem_clockwait(sem, clock, end); }); });
  say("value=" + std::to_string(value_of(sem)));
  const std::function<int()> waits[] = {[&] { return sem_wait(sem); }, [&] { return sem_timedwait(sem, &real); },
                                        [&] { return sem_clockwait(sem, CLOCK_REALTIME, &real); },
                                        [&] { return sem_clockwait(sem, CLOCK_MONOTONIC, &mono); }};
  for (const auto& wait : waits) {
    Thread waiter([&] {
      const std::string words = answer([&] { return but_for_a_tick(wait); });
      say("got " + words);
    });
    until_blocked(waiter.tid());
    say("post");
    const std::string words = answer([&] { return sem_post(sem); });
    waiter.join();
    say("post=" + words);
  }
  say("value=" + std::to_string(value_of(sem)));
}

static void sem_life(int sharing) {
  auto* sem = shared_memory<sem_t>();
  SAYS(sem_init(sem, sharing, static_cast<unsigned>(SEM_VALUE_MAX) + 1));
  SAYS(sem_init(sem, sharing, SEM_VALUE_MAX));
  SAYS(sem_post(sem));
  SAYS(sem_wait(sem));
  SAYS(sem_post(sem));
  SAYS(sem_post(sem));
  SAYS(sem_destroy(sem));
  SAYS(sem_init(sem, sharing, 0));
  sem_calls(sem);
  if (sharing != 0) {
    auto* back = shared_memory<sem_t>();
    sem_init(back, 1, 0);
    Child child([&] {
      const std::string words = "wait=" + answer([&] { return sem_wait(sem); });
      return words + " post=" + answer([&] { return sem_post(back); });
    });
    until_blocked(child.pid);
    SAYS(sem_post(sem));
    SAYS(sem_wait(back));
    say(child.ended());
  }
  SAYS(sem_destroy(sem));
}

static void sem_named() {
  const std::string name = "/wait_conformance." + std::to_string(getpid());
  sem_t* sem = sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 0);
  if (sem == SEM_FAILED) return say("sem_open " + named(errno));
  sem_unlink(name.c_str());
  sem_calls(sem);
  SAYS(sem_close(sem));
}

// ---- Barriers.

static void barrier_rounds(int sharing) {
  auto* barrier = shared_memory<pthread_barrier_t>();
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, sharing);
  SAYS(pthread_barrier_init(barrier, &attributes, 0));
  SAYS(pthread_barrier_init(barrier, &attributes, 1));
  SAYS(pthread_barrier_wait(barrier));
  SAYS(pthread_barrier_destroy(barrier));
  SAYS(pthread_barrier_init(barrier, &attributes, 3));
  std::atomic<int> arrived{0}, early{0};
  std::vector<std::string> rounds[5];
  std::mutex mutex;
  const auto body = [&] {
    for (int i = 0; i < 5; ++i) {
      ++arrived;
      const std::string words = answer([&] { return pthread_barrier_wait(barrier); });
      if (arrived < 3 * (i + 1)) ++early;
      const std::lock_guard guard(mutex);
      rounds[i].push_back(words);
    }
  };
  { Thread one(body), two(body), three(body); }
  for (const auto& round : rounds) say(joined(round));
  say("early=" + std::to_string(early));
  if (sharing == PTHREAD_PROCESS_SHARED) {
    const auto body = [&] { return answer([&] { return pthread_barrier_wait(barrier); }); };
    const Child one(body), two(body);
    const std::string own = body();
    say(joined({own + "|exit 3", one.ended(), two.ended()}));
  }
  SAYS(pthread_barrier_destroy(barrier));
}

// ---- Joining.

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

static void joins_value() {
  const std::pair<const char*, std::function<int(pthread_t, void**)>> calls[] = {
      {"join", [](auto id, auto value) { return pthread_join(id, value); }},
      {"timedjoin",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_REALTIME);
         return pthread_timedjoin_np(id, value, &end);
       }},
      {"clockjoin realtime",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_REALTIME);
         return pthread_clockjoin_np(id, value, CLOCK_REALTIME, &end);
       }},
      {"clockjoin monotonic",
       [](auto id, auto value) {
         const timespec end = far(CLOCK_MONOTONIC);
         return pthread_clockjoin_np(id, value, CLOCK_MONOTONIC, &end);
       }},
      {"tryjoin",
       [](auto id, auto value) {
         int result = 0;
         until([&] { return (result = pthread_tryjoin_np(id, value)) != EBUSY; });
         errno = kMark;
         return result;
       }},
  };
  for (const auto& [name, call] : calls)
    for (const auto body : {returns_41, exits_with_42})
      for (const bool asks : {true, false}) {
        pthread_t id;
        void* value = reinterpret_cast<void*>(-5);
        SAYS(pthread_create(&id, nullptr, body, nullptr));
        says(name, [&] { return call(id, asks ? &value : nullptr); });
        say(text_of(value));
      }
}

static void joins_running() {
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_t id;
  void* value = reinterpret_cast<void*>(-5);
  SAYS(pthread_create(&id, nullptr, waits_for_sem, &sem));
  SAYS(pthread_tryjoin_np(id, &value));
  // glibc takes the futex call's EINVAL for a wake-up and asks again, for ever: no odd times.
  say_timings([&](auto end) { return pthread_timedjoin_np(id, &value, end); },
              [&](auto clock, auto end) { return pthread_clockjoin_np(id, &value, clock, end); }, CLOCK_REALTIME,
              false);
  say(text_of(value));
  Thread joiner([&] {
    SAYS(pthread_join(id, &value));
    say(text_of(value));
  });
  until_blocked(joiner.tid());
  usleep(2000);
  say("post");
  sem_post(&sem);
  joiner.join();
}

// That two join one, or each other, glibc 2.36 does not notice: they wait for ever.
static void joins_refused() {
  const pthread_t self = pthread_self();
  const timespec end = far(CLOCK_REALTIME);
  SAYS(pthread_join(self, nullptr));
  SAYS(pthread_timedjoin_np(self, nullptr, &end));
  SAYS(pthread_clockjoin_np(self, nullptr, CLOCK_REALTIME, &end));
  SAYS(pthread_tryjoin_np(self, nullptr));
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_t id;
  SAYS(pthread_create(&id, nullptr, waits_for_sem, &sem));
  SAYS(pthread_detach(id));
  SAYS(pthread_detach(id));
  SAYS(pthread_join(id, nullptr));
  SAYS(pthread_tryjoin_np(id, nullptr));
  SAYS(pthread_timedjoin_np(id, nullptr, &end));
  SAYS(pthread_clockjoin_np(id, nullptr, CLOCK_MONOTONIC, &end));
  sem_post(&sem);
  until([&] { return value_of(&sem) == 0; });
}

// ---- What happens to who waits, by each call: a release, a signal, a cancellation.

struct Stage {
  pthread_mutex_t held = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_spinlock_t spin;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  OldCond old_cond{};
  pthread_barrier_t barrier;
  sem_t sem, end;
  mtx_t c_held, c_mutex;
  cnd_t c_cond;
  Thread* other = nullptr;
  timespec real = far(CLOCK_REALTIME), mono = far(CLOCK_MONOTONIC);
  pthread_cond_t* old() { return reinterpret_cast<pthread_cond_t*>(&old_cond); }
};

static void let_go_mutex(void* mutex) {
  say("clean-up: mutex=" + state_of(static_cast<pthread_mutex_t*>(mutex)));
  SAYS(pthread_mutex_unlock(static_cast<pthread_mutex_t*>(mutex)));
}
static void let_go_mtx(void* mutex) {
  say("clean-up: mtx=" + others([&] { return mtx_trylock(static_cast<mtx_t*>(mutex)); }));
  SAYS(mtx_unlock(static_cast<mtx_t*>(mutex)));
}

template <typename Call>
static int holding_mutex(Stage& stage, Call call) {
  int result = 0;
  pthread_mutex_lock(&stage.mutex);
  pthread_cleanup_push(let_go_mutex, &stage.mutex);
  result = call();
  pthread_cleanup_pop(0);
  pthread_mutex_unlock(&stage.mutex);
  return result;
}
template <typename Call>
static int holding_mtx(Stage& stage, Call call) {
  int result = 0;
  mtx_lock(&stage.c_mutex);
  pthread_cleanup_push(let_go_mtx, &stage.c_mutex);
  result = call();
  pthread_cleanup_pop(0);
  mtx_unlock(&stage.c_mutex);
  return result;
}

// Under the mutex: who took it has been waiting since.
static int signal_cond(Stage& stage, int (*signal)(pthread_cond_t*), pthread_cond_t* cond) {
  pthread_mutex_lock(&stage.mutex);
  const int result = signal(cond);
  pthread_mutex_unlock(&stage.mutex);
  return result;
}

static int release_mutex(Stage& s) { return pthread_mutex_unlock(&s.held); }
static int release_rwlock(Stage& s) { return pthread_rwlock_unlock(&s.rwlock); }
static int release_cond(Stage& s) { return signal_cond(s, pthread_cond_signal, &s.cond); }
static int release_old_cond(Stage& s) { return signal_cond(s, old_cond_signal, s.old()); }
static int release_sem(Stage& s) { return sem_post(&s.sem); }
static int release_join(Stage& s) { return sem_post(&s.end); }
static int release_mtx(Stage& s) { return mtx_unlock(&s.c_held); }
static int release_cnd(Stage& s) {
  mtx_lock(&s.c_mutex);
  const int result = cnd_signal(&s.c_cond);
  mtx_unlock(&s.c_mutex);
  return result;
}

enum Ends { kReleaseOnly = 0, kByCancel = 1, kBySignal = 2, kByRestartingSignal = 4 };

struct Wait {
  const char* name;
  int ends;  // what ends it besides its release
  bool under_mutex;
  int (*wait)(Stage&);
  int (*release)(Stage&);
};

static const Wait kWaits[] = {
    {"pthread_mutex_lock", kReleaseOnly, false, [](Stage& s) { return pthread_mutex_lock(&s.held); }, release_mutex},
    {"pthread_mutex_timedlock", kReleaseOnly, false, [](Stage& s) { return pthread_mutex_timedlock(&s.held, &s.real); },
     release_mutex},
    {"pthread_mutex_clocklock", kReleaseOnly, false,
     [](Stage& s) { return pthread_mutex_clocklock(&s.held, CLOCK_MONOTONIC, &s.mono); }, release_mutex},
    {"pthread_rwlock_rdlock", kReleaseOnly, false, [](Stage& s) { return pthread_rwlock_rdlock(&s.rwlock); },
     release_rwlock},
    {"pthread_rwlock_wrlock", kReleaseOnly, false, [](Stage& s) { return pthread_rwlock_wrlock(&s.rwlock); },
     release_rwlock},
    {"pthread_rwlock_timedrdlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_timedrdlock(&s.rwlock, &s.real); }, release_rwlock},
    {"pthread_rwlock_timedwrlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_timedwrlock(&s.rwlock, &s.real); }, release_rwlock},
    {"pthread_rwlock_clockrdlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_clockrdlock(&s.rwlock, CLOCK_MONOTONIC, &s.mono); }, release_rwlock},
    {"pthread_rwlock_clockwrlock", kReleaseOnly, false,
     [](Stage& s) { return pthread_rwlock_clockwrlock(&s.rwlock, CLOCK_MONOTONIC, &s.mono); }, release_rwlock},
    {"pthread_spin_lock", kReleaseOnly, false, [](Stage& s) { return pthread_spin_lock(&s.spin); },
     [](Stage& s) { return pthread_spin_unlock(&s.spin); }},
    // Which of the two is told that it is the serial one is not known here.
    {"pthread_barrier_wait", kReleaseOnly, false,
     [](Stage& s) { return std::max(pthread_barrier_wait(&s.barrier), 0); },
     [](Stage& s) { return std::max(pthread_barrier_wait(&s.barrier), 0); }},
    {"pthread_cond_wait", kByCancel, true, [](Stage& s) { return pthread_cond_wait(&s.cond, &s.mutex); }, release_cond},
    {"pthread_cond_timedwait", kByCancel, true,
     [](Stage& s) { return pthread_cond_timedwait(&s.cond, &s.mutex, &s.real); }, release_cond},
    {"pthread_cond_clockwait", kByCancel, true,
     [](Stage& s) { return pthread_cond_clockwait(&s.cond, &s.mutex, CLOCK_MONOTONIC, &s.mono); }, release_cond},
    {"old pthread_cond_wait", kByCancel, true, [](Stage& s) { return old_cond_wait(s.old(), &s.mutex); },
     release_old_cond},
    {"old pthread_cond_timedwait", kByCancel, true,
     [](Stage& s) { return old_cond_timedwait(s.old(), &s.mutex, &s.real); }, release_old_cond},
    {"sem_wait", kByCancel | kBySignal, false, [](Stage& s) { return sem_wait(&s.sem); }, release_sem},
    {"sem_timedwait", kByCancel | kBySignal | kByRestartingSignal, false,
     [](Stage& s) { return sem_timedwait(&s.sem, &s.real); }, release_sem},
    {"sem_clockwait", kByCancel | kBySignal | kByRestartingSignal, false,
     [](Stage& s) { return sem_clockwait(&s.sem, CLOCK_MONOTONIC, &s.mono); }, release_sem},
    {"pthread_join", kByCancel, false, [](Stage& s) { return pthread_join(s.other->id, nullptr); }, release_join},
    {"pthread_timedjoin_np", kByCancel, false,
     [](Stage& s) { return pthread_timedjoin_np(s.other->id, nullptr, &s.real); }, release_join},
    {"pthread_clockjoin_np", kByCancel, false,
     [](Stage& s) { return pthread_clockjoin_np(s.other->id, nullptr, CLOCK_MONOTONIC, &s.mono); }, release_join},
    {"mtx_lock", kReleaseOnly, false, [](Stage& s) { return mtx_lock(&s.c_held); }, release_mtx},
    {"mtx_timedlock", kReleaseOnly, false, [](Stage& s) { return mtx_timedlock(&s.c_held, &s.real); }, release_mtx},
    {"cnd_wait", kByCancel, true, [](Stage& s) { return cnd_wait(&s.c_cond, &s.c_mutex); }, release_cnd},
    {"cnd_timedwait", kByCancel, true, [](Stage& s) { return cnd_timedwait(&s.c_cond, &s.c_mutex, &s.real); },
     release_cnd},
    {"thrd_join", kByCancel, false, [](Stage& s) { return thrd_join(s.other->id, nullptr); }, release_join},
};

enum class Event { kRelease, kSignal, kRestartingSignal, kCancel, kCancelBefore, kCancelDisabled };
static const std::pair<const char*, Event> kEvents[] = {{"released", Event::kRelease},
                                                        {"interrupted", Event::kSignal},
                                                        {"interrupted_restarting", Event::kRestartingSignal},
                                                        {"cancelled", Event::kCancel},
                                                        {"cancelled_before", Event::kCancelBefore},
                                                        {"cancel_disabled", Event::kCancelDisabled}};

static std::atomic<int> handled;
static void counts_signal(int) { ++handled; }

static void handle_usr1(int flags) {
  struct sigaction action {};
  action.sa_handler = counts_signal;
  action.sa_flags = flags;
  sigaction(SIGUSR1, &action, nullptr);
}

static void run_wait(const Wait& wait, Event event) {
  Stage s;
  const bool is_c_cond = strncmp(wait.name, "cnd", 3) == 0, joins = strstr(wait.name, "join") != nullptr,
             spins = strstr(wait.name, "spin") != nullptr,
             is_signal = event == Event::kSignal || event == Event::kRestartingSignal;
  pthread_spin_init(&s.spin, 0);
  pthread_barrier_init(&s.barrier, nullptr, 2);
  sem_init(&s.sem, 0, 0);
  sem_init(&s.end, 0, 0);
  mtx_init(&s.c_held, mtx_timed);
  mtx_init(&s.c_mutex, mtx_timed);
  cnd_init(&s.c_cond);
  pthread_mutex_lock(&s.held);
  pthread_rwlock_wrlock(&s.rwlock);
  pthread_spin_lock(&s.spin);
  mtx_lock(&s.c_held);
  Thread other([&] {
    if (joins) waits_for_sem(&s.end);
  });
  s.other = &other;
  other.tid();
  std::atomic<bool> may_enter{event != Event::kCancelBefore}, is_over{false}, is_inside{false};
  Thread waiter([&] {
    const bool defers = event == Event::kCancelBefore || event == Event::kCancelDisabled;
    if (defers) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    until([&] { return may_enter.load(); });
    if (event == Event::kCancelBefore) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    const auto call = [&] {
      is_inside = true;
      errno = kMark;
      return is_signal ? wait.wait(s) : but_for_a_tick([&] { return wait.wait(s); });
    };
    pthread_cleanup_push([](void*) { say("unwound"); }, nullptr);
    std::string words = answer([&] {
      if (!wait.under_mutex) return call();
      return is_c_cond ? holding_mtx(s, call) : holding_mutex(s, call);
    });
    say("returned " + words);
    is_over = true;
    if (event == Event::kCancelDisabled) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    pthread_testcancel();
    say("went on");
    pthread_cleanup_pop(0);
  });
  if (event != Event::kCancelBefore) {
    until([&] { return is_inside.load(); });
    if (!spins) until_blocked(waiter.tid());
  }
  std::string done;  // said when nobody else says anything
  bool ends = false;
  switch (event) {
    case Event::kRelease:
      break;
    case Event::kSignal:
    case Event::kRestartingSignal:
      handle_usr1(event == Event::kSignal ? 0 : SA_RESTART);
      ends = (wait.ends & (event == Event::kSignal ? kBySignal : kByRestartingSignal)) != 0;
      for (int i = 0; i < 3 || (ends && !is_over); ++i) {
        const int before = handled;
        if (is_over) break;
        pthread_kill(waiter.id, SIGUSR1);
        until([&] { return handled != before || is_over; });
        usleep(1000);
      }
      break;
    case Event::kCancel:
    case Event::kCancelBefore:
    case Event::kCancelDisabled:
      say("cancel");
      done = " cancel=" + answer([&] { return pthread_cancel(waiter.id); });
      may_enter = true;
      ends = (wait.ends & kByCancel) != 0 && event != Event::kCancelDisabled;
      if (!ends) usleep(3000);
      break;
  }
  if (!ends) {
    say(is_over ? "too early" : "release");
    if (wait.under_mutex) until([&] { return is_inside.load(); });
    done += " release=" + answer([&] { return wait.release(s); });
  }
  other.is_joined = joins && !ends;
  say("->" + text_of(waiter.join()) + done);
  sem_post(&s.end);
  if (joins && ends) say("other->" + text_of(other.join()));
  if (wait.under_mutex && !is_c_cond) say_state(&s.mutex);
  if (is_c_cond) say("mtx=" + others([&] { return mtx_trylock(&s.c_mutex); }));
}

// Asynchronous cancellation is for what calls nothing. The loop has nothing to destroy: C++ unwinds from calls only.
static void loops(std::atomic<bool>& runs) {
  volatile unsigned count = 0;
  for (;;) {
    count = count + 1;
    runs = true;
  }
}
static void (*volatile loops_for_ever)(std::atomic<bool>&) = loops;

static void cancel_asynchronous() {
  std::atomic<bool> runs{false};
  Thread thread([&] {
    pthread_cleanup_push([](void*) { say("unwound"); }, nullptr);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    loops_for_ever(runs);
    pthread_cleanup_pop(0);
  });
  until([&] { return runs.load(); });
  usleep(5000);
  const std::string words = answer([&] { return pthread_cancel(thread.id); });
  say("->" + text_of(thread.join()) + " cancel=" + words);
}

// A semaphore that could be had is left alone by a thread that was cancelled before.
static void cancel_keeps_sem() {
  sem_t sem;
  sem_init(&sem, 0, 1);
  Thread thread([&] {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    SAYS(pthread_cancel(pthread_self()));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    SAYS(sem_trywait(&sem));
    SAYS(sem_post(&sem));
    SAYS(sem_wait(&sem));
    say("went on");
  });
  say("->" + text_of(thread.join()));
  say("value=" + std::to_string(value_of(&sem)));
}

// Who is cancelled holding two mutexes gives back both, in order.
static void cancel_nested() {
  pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  std::atomic<bool> is_inside{false};
  Thread thread([&] {
    pthread_mutex_lock(&outer);
    pthread_cleanup_push(let_go_mutex, &outer);
    pthread_mutex_lock(&inner);
    pthread_cleanup_push(let_go_mutex, &inner);
    is_inside = true;
    for (;;) pthread_cond_wait(&cond, &inner);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
  });
  until([&] { return is_inside.load(); });
  pthread_mutex_lock(&inner);
  SAYS(pthread_cancel(thread.id));
  say("inner let go");
  pthread_mutex_unlock(&inner);
  say("->" + text_of(thread.join()));
  say_state(&inner);
  say_state(&outer);
}

// ---- Signal handlers.

static pthread_mutex_t handler_mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t handler_sem;
static int handler_results[5];

static void handler_locks(int) {
  handler_results[0] = pthread_mutex_lock(&handler_mutex);
  handler_results[1] = pthread_mutex_trylock(&handler_mutex);
  handler_results[2] = pthread_mutex_unlock(&handler_mutex);
  handler_results[3] = sem_post(&handler_sem);
  handler_results[4] = errno;
}

// In the kernel's own order: raised by the thread, and sent to one that waits.
static void handler_on_own_stack() {
  std::vector<char> memory(static_cast<size_t>(sysconf(_SC_SIGSTKSZ)));
  sem_init(&handler_sem, 0, 0);
  struct sigaction action {};
  action.sa_handler = handler_locks;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
  const auto results = [] {
    std::string words;
    for (int& result : handler_results) words += " " + named(result), result = -9;
    say("handler:" + words);
  };
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<bool> waits{false};
  pthread_mutex_lock(&mutex);
  Thread thread([&] {
    const stack_t stack{.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
    SAYS(sigaltstack(&stack, nullptr));
    SAYS(raise(SIGUSR1));
    results();
    say("waits");
    errno = kMark;
    waits = true;
    const std::string words = answer([&] { return pthread_mutex_lock(&mutex); });
    results();
    say("got " + words);
    SAYS(pthread_mutex_unlock(&mutex));
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    SAYS(sigaltstack(&none, nullptr));
  });
  until([&] { return waits && sem_trywait(&handler_sem) == 0; });
  until_blocked(thread.tid());
  pthread_kill(thread.id, SIGUSR1);
  until([] { return sem_trywait(&handler_sem) == 0; });
  say("value=" + std::to_string(value_of(&handler_sem)));
  pthread_mutex_unlock(&mutex);
  thread.join();
}

// ---- Making threads.

static void create_refused() {
  pthread_attr_t attributes;
  pthread_t id;
  std::atomic<int> ran{0};
  const auto refused = [&](const char* name) {
    says(name, [&] {
      return pthread_create(
          &id, &attributes, [](void* ran) -> void* { return ++*static_cast<std::atomic<int>*>(ran), nullptr; }, &ran);
    });
    pthread_attr_destroy(&attributes);
    pthread_attr_init(&attributes);
  };
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setstacksize(&attributes, 1024));
  SAYS(pthread_attr_setstacksize(&attributes, size_t{1} << 46));
  refused("huge stack");
  SAYS(pthread_attr_setguardsize(&attributes, SIZE_MAX));
  refused("huge guard");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(CPU_SETSIZE - 1, &cpus);
  SAYS(pthread_attr_setaffinity_np(&attributes, sizeof cpus, &cpus));
  refused("no such processor");
  say("ran=" + std::to_string(ran));
}

// It has no room for more than what it does.
struct Small {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  int results[10];
  timespec end;
};
static void* small_thread(void* argument) {
  auto* small = static_cast<Small*>(argument);
  int* result = small->results;
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_cond_timedwait(&small->cond, &small->mutex, &small->end);
  *result++ = pthread_cond_signal(&small->cond);
  *result++ = pthread_mutex_unlock(&small->mutex);
  *result++ = sem_wait(&small->sem);
  *result++ = sem_post(&small->sem);
  *result++ = pthread_mutex_lock(&small->mutex);
  *result++ = pthread_mutex_unlock(&small->mutex);
  *result++ = pthread_mutex_unlock(&small->mutex);
  return argument;
}

static void create_smallest() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  const size_t least = static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
  SAYS(pthread_attr_setstacksize(&attributes, least));
  for (int i = 0; i < 3; ++i) {
    Small small;
    sem_init(&small.sem, 0, 0);
    small.end = at(CLOCK_REALTIME, When::kAhead);
    pthread_mutex_lock(&small.mutex);
    pthread_t id;
    void* value = nullptr;
    SAYS(pthread_create(&id, &attributes, small_thread, &small));
    usleep(2000);
    SAYS(pthread_mutex_unlock(&small.mutex));
    SAYS(sem_post(&small.sem));
    SAYS(pthread_join(id, &value));
    say(value == &small ? "its value" : "another value");
    for (const int result : small.results) say(named(result));
  }
  pthread_attr_destroy(&attributes);
}

// In memory of the program's, of the least size.
static void create_on_own_stack() {
  const size_t size = std::max<size_t>(static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN)), 32768);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setstack(&attributes, memory, size));
  pthread_t id;
  void* value = nullptr;
  SAYS(pthread_create(&id, &attributes, returns_41, nullptr));
  SAYS(pthread_join(id, &value));
  say(text_of(value));
  SAYS(pthread_create(&id, &attributes, exits_with_42, nullptr));
  SAYS(pthread_join(id, &value));
  say(text_of(value));
  munmap(memory, size);
}

static void create_detached() {
  sem_t sem;
  sem_init(&sem, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  SAYS(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
  Thread thread(
      [&] {
        int state = -1;
        pthread_attr_t own;
        SAYS(pthread_getattr_np(pthread_self(), &own));
        SAYS(pthread_attr_getdetachstate(&own, &state));
        pthread_attr_destroy(&own);
        say(state == PTHREAD_CREATE_DETACHED ? "detached" : "joinable");
        sem_post(&sem);
      },
      &attributes);
  thread.is_joined = true;
  SAYS(sem_wait(&sem));
}

// ---- C11.

static std::string of_thrd(int result) {
  for (const Value& value : {Value{"success", thrd_success},
                             {"busy", thrd_busy},
                             {"error", thrd_error},
                             {"nomem", thrd_nomem},
                             {"timedout", thrd_timedout}})
    if (result == value.value) return value.name;
  return named(result);
}
template <typename Call>
static void says_thrd(const char* name, Call call) {
  errno = kMark;
  const int result = call(), after = errno;
  say(std::string(name) + "=" + of_thrd(result) + "," + named(after));
}
#define SAYS_C(call) says_thrd(std::string(#call).substr(0, std::string(#call).find('(')).c_str(), [&] { return call; })

static void c11_mtx(int type) {
  mtx_t mutex;
  SAYS_C(mtx_init(&mutex, type));
  const auto timed = [&](const char* name, When when) {
    const timespec end = at(CLOCK_REALTIME, when);
    says_thrd(name, [&] { return mtx_timedlock(&mutex, &end); });
  };
  const auto others_try = [&] { in_thread([&] { SAYS_C(mtx_trylock(&mutex)); }); };
  SAYS_C(mtx_lock(&mutex));
  SAYS_C(mtx_trylock(&mutex));
  if ((type & mtx_recursive) != 0) {
    SAYS_C(mtx_lock(&mutex));
    timed("timed", When::kFar);
    for (int i = 0; i < 3; ++i) SAYS_C(mtx_unlock(&mutex));
  }
  others_try();
  in_thread([&] {
    timed("past", When::kPast);
    timed("ahead", When::kAhead);
    timed("nsec1e9", When::kBillionNanoseconds);
    if ((type & mtx_recursive) != 0) SAYS_C(mtx_unlock(&mutex));
  });
  Thread waiter([&] {
    errno = kMark;
    const std::string words = of_thrd(mtx_lock(&mutex));
    say("got " + words + "," + named(errno));
    SAYS_C(mtx_unlock(&mutex));
  });
  until_blocked(waiter.tid());
  say("release");
  const int result = mtx_unlock(&mutex);
  waiter.join();
  say("release=" + of_thrd(result));
  timed("timed", When::kFar);
  SAYS_C(mtx_unlock(&mutex));
  mtx_destroy(&mutex);
}

static void c11_bad_mtx() {
  mtx_t mutex;
  SAYS_C(mtx_init(&mutex, 99));
}

static void c11_cnd() {
  mtx_t mutex;
  cnd_t cond;
  int turns = 0;
  SAYS_C(mtx_init(&mutex, mtx_plain));
  SAYS_C(cnd_init(&cond));
  SAYS_C(cnd_signal(&cond));
  SAYS_C(cnd_broadcast(&cond));
  SAYS_C(mtx_lock(&mutex));
  for (const Timing& timing : {kTimings[0], kTimings[2], kTimings[4]}) {
    const timespec end = at(CLOCK_REALTIME, timing.when);
    says_thrd(timing.name, [&] { return cnd_timedwait(&cond, &mutex, &end); });
  }
  for (const bool is_timed : {false, true}) {
    turns = 0;
    Thread other([&] {
      SAYS_C(mtx_lock(&mutex));
      ++turns;
      if (is_timed) SAYS_C(cnd_broadcast(&cond));
      if (!is_timed) SAYS_C(cnd_signal(&cond));
      SAYS_C(mtx_unlock(&mutex));
    });
    const timespec end = far(CLOCK_REALTIME);
    std::string words;
    while (turns == 0) words += " " + of_thrd(is_timed ? cnd_timedwait(&cond, &mutex, &end) : cnd_wait(&cond, &mutex));
    other.join();
    say("waited" + words);
    in_thread([&] { SAYS_C(mtx_trylock(&mutex)); });
  }
  SAYS_C(mtx_unlock(&mutex));
  cnd_destroy(&cond);
  mtx_destroy(&mutex);
}

static void c11_thrd() {
  thrd_t thread;
  int value = -5;
  SAYS_C(thrd_create(
      &thread, [](void*) { return 44; }, nullptr));
  SAYS_C(thrd_join(thread, &value));
  say(std::to_string(value));
  SAYS_C(thrd_create(
      &thread, [](void*) -> int { thrd_exit(45); }, nullptr));
  SAYS_C(thrd_join(thread, &value));
  say(std::to_string(value));
  SAYS_C(thrd_create(
      &thread, [](void*) { return 46; }, nullptr));
  SAYS_C(thrd_join(thread, nullptr));
  SAYS_C(thrd_join(thrd_current(), nullptr));
  sem_t sem;
  sem_init(&sem, 0, 0);
  SAYS_C(thrd_create(
      &thread, [](void* sem) { return waits_for_sem(sem) != nullptr ? 1 : 0; }, &sem));
  SAYS_C(thrd_detach(thread));
  SAYS_C(thrd_join(thread, nullptr));
  sem_post(&sem);
  until([&] { return value_of(&sem) == 0; });
}

// ---- C++.

template <typename Call>
static void says_std(const char* name, Call call) {
  errno = kMark;
  std::string words;
  try {
    words = std::to_string(static_cast<int>(call()));
  } catch (const std::system_error& error) {
    words = "throws " + named(error.code().value());
  }
  const int after = errno;
  say(std::string(name) + "=" + words + "," + named(after));
}
// A void call gives 1.
#define SAYS_STD(call) says_std(#call, [&] { return call, 1; })
#define SAYS_BOOL(call) says_std(#call, [&] { return call; })
// What the C++ library does with futex calls of its own may leave any errno.
#define SAYS_RESULT(call) say(#call "=" + std::to_string(call))

using namespace std::chrono_literals;

template <typename Mutex>
static void std_locks(Mutex& mutex) {
  constexpr bool is_recursive =
      std::is_same_v<Mutex, std::recursive_mutex> || std::is_same_v<Mutex, std::recursive_timed_mutex>;
  SAYS_STD(mutex.lock());
  if (is_recursive) SAYS_BOOL(mutex.try_lock());
  std::thread([&] {
    SAYS_BOOL(mutex.try_lock());
    if constexpr (requires { mutex.try_lock_for(1ms); }) {
      SAYS_BOOL(mutex.try_lock_for(20ms));
      SAYS_BOOL(mutex.try_lock_for(-1ms));
      SAYS_BOOL(mutex.try_lock_until(std::chrono::system_clock::now() + 20ms));
      SAYS_BOOL(mutex.try_lock_until(std::chrono::steady_clock::now() + 20ms));
    }
    if constexpr (requires { mutex.try_lock_shared(); }) SAYS_BOOL(mutex.try_lock_shared());
    if constexpr (requires { mutex.try_lock_shared_for(1ms); }) {
      SAYS_BOOL(mutex.try_lock_shared_for(20ms));
      SAYS_BOOL(mutex.try_lock_shared_until(std::chrono::steady_clock::now() + 20ms));
    }
  }).join();
  if (is_recursive) SAYS_STD(mutex.unlock());
  std::atomic<pid_t> tid{0};
  std::thread waiter([&] {
    tid = gettid();
    const std::unique_lock lock(mutex);
    say("got it");
  });
  until([&] { return tid != 0; });
  until_blocked(tid);
  say("release");
  mutex.unlock();
  waiter.join();
  if constexpr (requires { mutex.lock_shared(); }) {
    SAYS_STD(mutex.lock_shared());
    std::thread([&] {
      SAYS_BOOL(mutex.try_lock());
      SAYS_BOOL(mutex.try_lock_shared());
      SAYS_STD(mutex.unlock_shared());
    }).join();
    SAYS_STD(mutex.unlock_shared());
    SAYS_STD(mutex.lock());
    SAYS_STD(mutex.lock());
    SAYS_STD(mutex.lock_shared());
    SAYS_STD(mutex.unlock());
  }
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          const std::scoped_lock lock(mutex);
          count = count + 1;
        }
      });
  }
  say("count=" + std::to_string(count));
}

template <typename Mutex>
static void std_mutex() {
  Mutex mutex;
  std_locks(mutex);
}

template <typename Condition>
static void std_condition() {
  Condition condition;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  const auto never = [] { return false; };
  SAYS_STD(condition.notify_one());
  SAYS_STD(condition.notify_all());
  SAYS_BOOL(condition.wait_for(lock, 20ms, never));
  SAYS_BOOL(condition.wait_until(lock, std::chrono::system_clock::now() + 20ms, never));
  SAYS_BOOL(condition.wait_until(lock, std::chrono::steady_clock::now() + 20ms, never));
  SAYS_BOOL(condition.wait_for(lock, -1s, never));
  SAYS_BOOL(lock.owns_lock());
  int tickets = 0, woken = 0;
  const auto has_ticket = [&] { return tickets > 0; };
  const auto takes = [&](auto wait) {
    std::unique_lock own(mutex);
    wait(own);
    --tickets;
    ++woken;
    condition.notify_all();
  };
  {
    std::jthread one([&] { takes([&](auto& own) { condition.wait(own, has_ticket); }); }),
        two([&] { takes([&](auto& own) { condition.wait_for(own, 1000s, has_ticket); }); });
    tickets = 2;
    condition.notify_all();
    condition.wait(lock, [&] { return woken == 2; });
    say("woken=" + std::to_string(woken));
    lock.unlock();
  }
}

static void std_stop() {
  std::condition_variable_any condition;
  std::mutex mutex;
  std::jthread thread([&](const std::stop_token& token) {
    std::unique_lock lock(mutex);
    SAYS_BOOL(condition.wait(lock, token, [] { return false; }));
    SAYS_BOOL(token.stop_requested());
  });
  usleep(2000);
  say("stop");
  thread.request_stop();
  SAYS_STD(thread.join());
  SAYS_STD(thread.join());
  std::latch is_set(1);
  std::jthread self;
  self = std::jthread([&] {
    is_set.wait();
    SAYS_STD(self.join());
  });
  is_set.count_down();
}

static void std_latch_barrier() {
  std::latch latch(3);
  std::atomic<int> arrived{0}, early{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        ++arrived;
        latch.arrive_and_wait();
        if (arrived != 3) ++early;
      });
  }
  SAYS_RESULT(latch.try_wait());
  int phases = 0;
  std::barrier barrier(3, [&]() noexcept { ++phases; });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 1; i <= 5; ++i) {
          barrier.arrive_and_wait();
          if (phases < i) ++early;
        }
      });
  }
  say("phases=" + std::to_string(phases) + " early=" + std::to_string(early));
}

static void std_semaphore() {
  std::counting_semaphore<5> semaphore(2);
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT(semaphore.try_acquire());
  SAYS_RESULT(semaphore.try_acquire());
  SAYS_RESULT(semaphore.try_acquire_for(20ms));
  SAYS_RESULT(semaphore.try_acquire_until(std::chrono::system_clock::now() + 20ms));
  std::jthread thread([&] { semaphore.release(2); });
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT((semaphore.acquire(), 1));
  SAYS_RESULT(semaphore.try_acquire());
}

static void std_futures() {
  auto future = std::async(std::launch::async, [] { return 5; });
  SAYS_RESULT(future.get());
  std::promise<int> promise;
  auto late = promise.get_future();
  SAYS_RESULT(late.wait_for(20ms) == std::future_status::timeout);
  std::jthread thread([&] { promise.set_value(6); });
  SAYS_RESULT(late.get());
  std::once_flag once;
  std::atomic<int> calls{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back([&] { std::call_once(once, [&] { ++calls; }); });
  }
  SAYS_RESULT(calls.load());
}

// ---- Before main, and after it.

static void run_stage(const char* name) {
  current_case = name;
  static pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  SAYS(pthread_mutex_lock(&mutex));
  SAYS(pthread_mutex_lock(&mutex));
  const timespec end = at(CLOCK_REALTIME, When::kAhead);
  SAYS(pthread_cond_timedwait(&cond, &mutex, &end));
  SAYS(pthread_rwlock_wrlock(&rwlock));
  SAYS(pthread_rwlock_rdlock(&rwlock));
  SAYS(sem_init(&sem, 0, 0));
  Thread thread([&] {
    SAYS(pthread_mutex_trylock(&mutex));
    SAYS(pthread_rwlock_tryrdlock(&rwlock));
    const std::string posted = answer([&] { return sem_post(&sem); });
    const std::string words = answer([&] { return pthread_mutex_lock(&mutex); });
    say("got " + words + " post=" + posted);
    SAYS(pthread_cond_signal(&cond));
    SAYS(pthread_mutex_unlock(&mutex));
  });
  SAYS(sem_wait(&sem));
  until_blocked(thread.tid());
  say("release");
  const std::string words = answer([&] { return pthread_mutex_unlock(&mutex); });
  say("->" + text_of(thread.join()) + " release=" + words);
  SAYS(pthread_rwlock_unlock(&rwlock));
  end_line(name);
}

struct AtEnd {
  explicit AtEnd(const char* name) : name_(name) {}
  ~AtEnd() { run_stage(name_); }
  const char* name_;
};

static AtEnd static_object("static destructor");
static thread_local AtEnd thread_object("thread-local destructor");
__attribute__((constructor)) static void constructed() { run_stage("constructor"); }
__attribute__((destructor)) static void destructed() { run_stage("destructor"); }

static void thread_ends() {
  pthread_key_t key;
  pthread_key_create(&key, [](void*) { run_stage("key destructor"); });
  in_thread([&] {
    pthread_setspecific(key, &key);
    thread_object.name_ = "thread-local destructor of a thread";
  });
  pthread_key_delete(key);
}

// ---- The table.

struct Case {
  std::string name;
  std::function<void()> run;
};

static const std::pair<const char*, void (*)()> kPlainCases[] = {
    {"mutex/static", mutex_static},
    {"mutex/ceiling", mutex_ceiling},
    {"spin/private", [] { spin_lock(PTHREAD_PROCESS_PRIVATE); }},
    {"spin/shared", [] { spin_lock(PTHREAD_PROCESS_SHARED); }},
    {"old_cond/linked", [] { cond_by_calls(kLinkedOldCalls, sizeof(OldCond)); }},
    {"old_cond/dlvsym", [] { cond_by_calls(looked_up_calls("GLIBC_2.2.5"), sizeof(OldCond)); }},
    {"cond/dlvsym", [] { cond_by_calls(looked_up_calls("GLIBC_2.3.2"), sizeof(pthread_cond_t)); }},
    {"cond/dlsym", [] { cond_by_calls(looked_up_calls(nullptr), sizeof(pthread_cond_t)); }},
    {"sem/private", [] { sem_life(0); }},
    {"sem/shared", [] { sem_life(1); }},
    {"sem/named", sem_named},
    {"barrier/private", [] { barrier_rounds(PTHREAD_PROCESS_PRIVATE); }},
    {"barrier/shared", [] { barrier_rounds(PTHREAD_PROCESS_SHARED); }},
    {"join/value", joins_value},
    {"join/running", joins_running},
    {"join/refused", joins_refused},
    {"cancel/asynchronous", cancel_asynchronous},
    {"cancel/keeps_sem", cancel_keeps_sem},
    {"cancel/nested", cancel_nested},
    {"handler/on_own_stack", handler_on_own_stack},
    {"create/refused", create_refused},
    {"create/smallest", create_smallest},
    {"create/on_own_stack", create_on_own_stack},
    {"create/detached", create_detached},
    {"c11/plain", [] { c11_mtx(mtx_plain); }},
    {"c11/timed", [] { c11_mtx(mtx_timed); }},
    {"c11/recursive", [] { c11_mtx(mtx_plain | mtx_recursive); }},
    {"c11/recursive_timed", [] { c11_mtx(mtx_timed | mtx_recursive); }},
    {"c11/bad_mtx", c11_bad_mtx},
    {"c11/cnd", c11_cnd},
    {"c11/thrd", c11_thrd},
    {"std/mutex", std_mutex<std::mutex>},
    {"std/timed_mutex", std_mutex<std::timed_mutex>},
    {"std/recursive_mutex", std_mutex<std::recursive_mutex>},
    {"std/recursive_timed_mutex", std_mutex<std::recursive_timed_mutex>},
    {"std/shared_mutex", std_mutex<std::shared_mutex>},
    {"std/shared_timed_mutex", std_mutex<std::shared_timed_mutex>},
    {"std/condition_variable", std_condition<std::condition_variable>},
    {"std/condition_variable_any", std_condition<std::condition_variable_any>},
    {"std/stop", std_stop},
    {"std/latch_barrier", std_latch_barrier},
    {"std/semaphore", std_semaphore},
    {"std/futures", std_futures},
    {"thread_ends", thread_ends},
};

static std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Value& type : kTypes)
    for (const Value& protocol : kProtocols)
      for (const Value& robust : kRobust)
        for (const Value& sharing : kSharing) {
          const MutexKind kind{std::string(type.name) + robust.name + protocol.name + sharing.name, type.value,
                               protocol.value, robust.value, sharing.value};
          for (const MutexOperation& operation : kMutexOperations)
            cases.push_back(
                {"mutex/" + kind.name + "/" + operation.name, [kind, &operation] { run_mutex(kind, operation); }});
        }
  for (const Value& preference : kPreferences)
    for (const Value& sharing : kSharing) {
      const RwlockKind kind{std::string(preference.name) + sharing.name, preference.value, sharing.value};
      for (const RwlockOperation& operation : kRwlockOperations)
        cases.push_back(
            {"rwlock/" + kind.name + "/" + operation.name, [kind, &operation] { run_rwlock(kind, operation); }});
    }
  for (const Value& clock : kClocks)
    for (const Value& sharing : kSharing)
      for (const CondOperation& operation : kCondOperations)
        cases.push_back({std::string("cond/") + clock.name + sharing.name + "/" + operation.name,
                         [&] { operation.run(clock.value, sharing.value); }});
  for (const Wait& wait : kWaits)
    for (const auto& [name, event] : kEvents)
      cases.push_back({std::string("wait/") + wait.name + "/" + name, [&wait, event] { run_wait(wait, event); }});
  for (const auto& [name, run] : kPlainCases) cases.push_back({name, run});
  return cases;
}

int main(int argc, char** argv) {
  signal(SIGALRM, is_stuck);
  thread_object.name_ = "thread-local destructor of main";
  timespec start{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  std::atexit([] { run_stage("exit handler"); });
  for (const Case& one : all_cases()) {
    const auto is_asked_for = [&](const char* prefix) { return one.name.starts_with(prefix); };
    if (argc > 1 && std::none_of(argv + 1, argv + argc, is_asked_for)) continue;
    current_case = one.name.c_str();
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto left = std::max<time_t>(kAllSeconds - (now.tv_sec - start.tv_sec), 1);
    alarm(static_cast<unsigned>(std::min<time_t>(left, kCaseSeconds)));
    one.run();
    end_line(one.name);
  }
  alarm(kCaseSeconds);
}
