// Shows threads that wait for one another, and keeps books of it: how often, how long, and whose unlock ended it.
// Arguments: KIND, waiters, seconds.
//
// KIND "mutex": the waiters pass one mutex on. Each locks it in wait_here() and unlocks it in hold_long(), three times
// of four, or in hold_short(). All holds last the same: hold_long() has the mutex for 75 % of the time, and ends 75 %
// of the waiting too. A call that found it locked and then did not sleep may or may not have waited: "unsure".
//
// Other kinds go in rounds. The main thread holds them off in hold_long() or hold_short(), in turn, until all waiters
// are asleep in their wait (or spin), and then for three times as long in hold_long(). A waiter has a lock of its own,
// or all are let go at once, so that nobody but the main thread ends a wait. "rwlock_readers" has a second reader, whose
// unlock in leaves_early() ends none. In "relock" the signal comes while the signaller has the mutex, and keeps it.
//
// Who unlocks reads the clock just before: a wait is charged to him up to then. The rest, "wake-up", is what it took
// until the waiter ran again, which on a busy machine may be longer than the wait.
//
// "hammer": short holds of one mutex, by all; half of them asleep, as the threads may have to share a core. "brief":
// waits of some microseconds for a condition that times out, as many in every run. "uncontended": no wait at all.
// build: -O2 -fomit-frame-pointer -pthread
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "asleep.h"
#include "victim.h"

enum Function { kHoldLong, kHoldShort, kLeavesEarly, kWaitHere, kNobody, kFunctions };
static const char *const function_names[kFunctions] = {"hold_long", "hold_short", "leaves_early", "wait_here",
                                                       "nobody"};

enum Resource {
  kPassed,
  kMutex,
  kRead,
  kWrite,
  kSpin,
  kMtx,
  kCond,
  kRelock,
  kCnd,
  kSemaphore,
  kBarrier,
  kJoin,
  kThrdJoin,
  kHammer,
  kBrief,
  kUncontended
};
enum Call { kPlain, kTimed, kClock };
enum Attribute { kNone, kRobust, kInherit };

static const struct Kind {
  const char *name;
  Resource resource;
  Call call;
  int type;
  Attribute attribute;
} kinds[] = {
    {"mutex", kPassed, kPlain, PTHREAD_MUTEX_NORMAL, kNone},
    {"mutexes", kMutex, kPlain, PTHREAD_MUTEX_NORMAL, kNone},
    {"mutex_timedlock", kMutex, kTimed, PTHREAD_MUTEX_NORMAL, kNone},
    {"mutex_clocklock", kMutex, kClock, PTHREAD_MUTEX_NORMAL, kNone},
    {"mutex_recursive", kMutex, kPlain, PTHREAD_MUTEX_RECURSIVE, kNone},
    {"mutex_errorcheck", kMutex, kPlain, PTHREAD_MUTEX_ERRORCHECK, kNone},
    {"mutex_adaptive", kMutex, kPlain, PTHREAD_MUTEX_ADAPTIVE_NP, kNone},
    {"mutex_robust", kMutex, kPlain, PTHREAD_MUTEX_NORMAL, kRobust},
    {"mutex_inherit", kMutex, kPlain, PTHREAD_MUTEX_NORMAL, kInherit},
    {"rwlock_writers", kRead, kPlain, 0, kNone},
    {"rwlock_timedrdlock", kRead, kTimed, 0, kNone},
    {"rwlock_clockrdlock", kRead, kClock, 0, kNone},
    {"rwlock_readers", kWrite, kPlain, 0, kNone},
    {"rwlock_timedwrlock", kWrite, kTimed, 0, kNone},
    {"rwlock_clockwrlock", kWrite, kClock, 0, kNone},
    {"spin", kSpin, kPlain, 0, kNone},
    {"mtx", kMtx, kPlain, 0, kNone},
    {"mtx_timedlock", kMtx, kTimed, 0, kNone},
    {"cond", kCond, kPlain, 0, kNone},
    {"cond_timedwait", kCond, kTimed, 0, kNone},
    {"cond_clockwait", kCond, kClock, 0, kNone},
    {"relock", kRelock, kPlain, 0, kNone},
    {"cnd", kCnd, kPlain, 0, kNone},
    {"cnd_timedwait", kCnd, kTimed, 0, kNone},
    {"sem", kSemaphore, kPlain, 0, kNone},
    {"sem_timedwait", kSemaphore, kTimed, 0, kNone},
    {"sem_clockwait", kSemaphore, kClock, 0, kNone},
    {"barrier", kBarrier, kPlain, 0, kNone},
    {"join", kJoin, kPlain, 0, kNone},
    {"join_timed", kJoin, kTimed, 0, kNone},
    {"join_clock", kJoin, kClock, 0, kNone},
    {"thrd_join", kThrdJoin, kPlain, 0, kNone},
    {"hammer", kHammer, kPlain, PTHREAD_MUTEX_NORMAL, kNone},
    {"brief", kBrief, kPlain, 0, kNone},
    {"uncontended", kUncontended, kPlain, 0, kNone},
};
static Kind kind;

// A number that only grows, and who waits for it. Waits by the system call: what is profiled has no part in it.
class Turn {
 public:
  void add() {
    ++value_;
    syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
  void wait_for(uint32_t n) {
    for (uint32_t value; (value = value_) < n;)
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
  }

 private:
  std::atomic<uint32_t> value_{0};
};
static Turn rounds, arrived, done, released, second_reads, second_has_read, second_leaves, second_has_left;

// The books of a waiter.
struct Books {
  uint64_t waits, ns;
  uint64_t to_unlock_ns;                         // of ns: until the unlock that ended it; without one, all
  uint64_t slept, slept_ns, slept_to_unlock_ns;  // of "hammer": of the calls that went to sleep
  uint64_t unsure, unsure_ns;             // calls that may have waited, or may have had no processor; not in the others
  uint64_t under_1ms_ns;                  // of ns: of waits shorter than that
  double squares;                         // of each wait's ns
  double count_variance, delay_variance;  // of what is estimated of all waits at PROF_BLOCK_RATE
  uint64_t ended[kFunctions];             // to_unlock_ns, by whose unlock
};
static uint64_t rate_asked_for() {
  const char *value = getenv("PROF_BLOCK_RATE");
  return value == nullptr ? 10000 : strtoull(value, nullptr, 10);
}
static const uint64_t kRate = rate_asked_for();

struct alignas(128) Place {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  pthread_spinlock_t spin;
  mtx_t mtx;
  pthread_cond_t cond;
  cnd_t cnd;
  pthread_t joined;
  thrd_t thrd_joined;
  Function holder;       // who has the lock or had it last; is the lock's
  uint64_t unlocked_ns;  // when that one gave it free, or set out to; is the lock's
  bool ready;
  uint64_t ready_ns;
  std::atomic<pid_t> tid;
  pthread_t thread;
  uint64_t cpu_ns;  // when it set out to wait
  uint64_t random;
  Books books;
};

static int waiters;
static Place *places;
static sem_t semaphore;
static pthread_barrier_t barrier;
static std::atomic<bool> stops;
static uint64_t ends_ns;

// Of "mutex", and its own: every turn at the lock, and every wait for it until it was given free.
struct Hold {
  uint64_t until;
  Function function;
};
struct Wait {
  uint64_t since, until;
};
static std::vector<Hold> holds;
static std::vector<Wait> waits;

// unlocked: when the lock was given free, which may have been before `start`; 0: there is no unlock.
static void enter(Books *books, uint64_t start, uint64_t end, Function ended_by, uint64_t unlocked = 0) {
  const uint64_t ns = end - start;
  const uint64_t to_unlock = unlocked == 0 ? ns : unlocked > start ? std::min(unlocked, end) - start : 0;
  const double wait = (double)std::max<uint64_t>(ns, 1), rate = (double)kRate;
  ++books->waits;
  books->ns += ns;
  books->squares += wait * wait;
  books->to_unlock_ns += to_unlock;
  books->ended[ended_by] += to_unlock;
  if (ns < 1000000) books->under_1ms_ns += ns;
  if (ns < kRate) {
    books->count_variance += rate / wait - 1;
    books->delay_variance += wait * (rate - wait);
  }
}

static void nap(uint64_t ns) {
  const timespec wanted = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  nanosleep(&wanted, nullptr);
}

static timespec at(clockid_t clock, int64_t later_ns) {
  const int64_t ns = (int64_t)clock_ns(clock) + later_ns;
  return {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

// How often this thread has gone to sleep.
static long sleeps() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

static void busy(uint32_t steps) {
  for (uint32_t i = 0; i < steps; ++i) __asm__ volatile("" : "+r"(i));
}

// A function's own call, with a clock beside it: a function for that would be its frame.
#define TIMED(call)    \
  do {                 \
    start = wall_ns(); \
    error = (call);    \
    end = wall_ns();   \
  } while (0)

#define TIMED_AS(plain, timed, clocked)      \
  do {                                       \
    if (kind.call == kPlain) TIMED(plain);   \
    if (kind.call == kTimed) TIMED(timed);   \
    if (kind.call == kClock) TIMED(clocked); \
  } while (0)

PLAIN_NAME NOT_INLINED void wait_here(Place *place) {
  const int64_t kFar = 1000000000000;
  const timespec real = at(CLOCK_REALTIME, kFar), mono = at(CLOCK_MONOTONIC, kFar);
  uint64_t start = 0, end = 0;
  int error = 0;
  Function ended_by = kNobody;
  uint64_t unlocked = 0;
  switch (kind.resource) {
    case kPassed: {  // the lock is kept; see hold_long()
      const long slept = sleeps();
      if (pthread_mutex_trylock(&places->mutex) == 0) return;
      TIMED(pthread_mutex_lock(&places->mutex));
      ended_by = places->holder;
      unlocked = places->unlocked_ns;
      if (sleeps() == slept) {
        ++place->books.unsure;
        place->books.unsure_ns += end - start;
        return;
      }
      waits.push_back({start, std::max(start, unlocked)});
      break;
    }
    case kMutex:
      TIMED_AS(pthread_mutex_lock(&place->mutex), pthread_mutex_timedlock(&place->mutex, &real),
               pthread_mutex_clocklock(&place->mutex, CLOCK_MONOTONIC, &mono));
      ended_by = place->holder;
      unlocked = place->unlocked_ns;
      pthread_mutex_unlock(&place->mutex);
      break;
    case kRead:
      TIMED_AS(pthread_rwlock_rdlock(&places->rwlock), pthread_rwlock_timedrdlock(&places->rwlock, &real),
               pthread_rwlock_clockrdlock(&places->rwlock, CLOCK_MONOTONIC, &mono));
      ended_by = places->holder;
      unlocked = places->unlocked_ns;
      pthread_rwlock_unlock(&places->rwlock);
      break;
    case kWrite:
      TIMED_AS(pthread_rwlock_wrlock(&place->rwlock), pthread_rwlock_timedwrlock(&place->rwlock, &real),
               pthread_rwlock_clockwrlock(&place->rwlock, CLOCK_MONOTONIC, &mono));
      ended_by = place->holder;
      unlocked = place->unlocked_ns;
      pthread_rwlock_unlock(&place->rwlock);
      break;
    case kSpin:
      TIMED(pthread_spin_lock(&place->spin));
      ended_by = place->holder;
      unlocked = place->unlocked_ns;
      pthread_spin_unlock(&place->spin);
      break;
    case kMtx:
      TIMED_AS(mtx_lock(&place->mtx), mtx_timedlock(&place->mtx, &real), 0);
      ended_by = place->holder;
      unlocked = place->unlocked_ns;
      mtx_unlock(&place->mtx);
      break;
    case kCond:
    case kRelock:
      pthread_mutex_lock(&place->mutex);
      for (; !place->ready; enter(&place->books, start, end, kNobody))
        TIMED_AS(pthread_cond_wait(&place->cond, &place->mutex),
                 pthread_cond_timedwait(&place->cond, &place->mutex, &real),
                 pthread_cond_clockwait(&place->cond, &place->mutex, CLOCK_MONOTONIC, &mono));
      if (kind.resource == kRelock) place->books.ended[place->holder] += place->unlocked_ns - place->ready_ns;
      place->ready = false;
      pthread_mutex_unlock(&place->mutex);
      if (error != 0) abort();
      return;
    case kCnd:
      mtx_lock(&place->mtx);
      for (; !place->ready; enter(&place->books, start, end, kNobody))
        TIMED_AS(cnd_wait(&place->cnd, &place->mtx), cnd_timedwait(&place->cnd, &place->mtx, &real), 0);
      place->ready = false;
      mtx_unlock(&place->mtx);
      if (error != thrd_success) abort();
      return;
    case kSemaphore:
      TIMED_AS(sem_wait(&semaphore), sem_timedwait(&semaphore, &real),
               sem_clockwait(&semaphore, CLOCK_MONOTONIC, &mono));
      break;
    case kBarrier:
      TIMED(pthread_barrier_wait(&barrier));
      error = 0;
      break;
    case kJoin:
      TIMED_AS(pthread_join(place->joined, nullptr), pthread_timedjoin_np(place->joined, nullptr, &real),
               pthread_clockjoin_np(place->joined, nullptr, CLOCK_MONOTONIC, &mono));
      break;
    case kThrdJoin:
      TIMED(thrd_join(place->thrd_joined, nullptr));
      break;
    case kHammer: {
      const long slept = sleeps();
      TIMED(pthread_mutex_lock(&places->mutex));
      unlocked = places->unlocked_ns;
      if (sleeps() != slept) {
        ++place->books.slept;
        place->books.slept_ns += end - start;
        place->books.slept_to_unlock_ns += unlocked > start ? std::min(unlocked, end) - start : 0;
      }
      if (next_number(&place->random) % 2) {
        nap(20000);
      } else {
        busy(8000);
      }
      places->unlocked_ns = wall_ns();
      pthread_mutex_unlock(&places->mutex);
      NOT_A_TAIL_CALL();
      break;
    }
    case kBrief: {
      // A deadline long past, or some microseconds ahead.
      const uint32_t number = next_number(&place->random);
      const timespec soon = at(CLOCK_REALTIME, number % 4 ? -1000000 : (int64_t)(number % 12000));
      pthread_mutex_lock(&place->mutex);
      TIMED(pthread_cond_timedwait(&place->cond, &place->mutex, &soon));
      pthread_mutex_unlock(&place->mutex);
      error = error == ETIMEDOUT ? 0 : error;
      break;
    }
    case kUncontended:
      break;
  }
  if (error != 0) abort();
  enter(&place->books, start, end, ended_by, unlocked);
}

// Whoever holds off the waiters. The unlock is this function's own.
#define HOLDS(name, me, milliseconds_held)                                                                            \
  PLAIN_NAME NOT_INLINED void name(uint32_t round) {                                                                  \
    const uint64_t ns = milliseconds(milliseconds_held);                                                              \
    if (kind.resource == kPassed) {                                                                                   \
      places->holder = me;                                                                                            \
      nap(milliseconds(4));                                                                                           \
      places->unlocked_ns = wall_ns();                                                                                \
      holds.push_back({places->unlocked_ns, me});                                                                     \
      pthread_mutex_unlock(&places->mutex);                                                                           \
      NOT_A_TAIL_CALL();                                                                                              \
      return;                                                                                                         \
    }                                                                                                                 \
    takes_all(round, me);                                                                                             \
    rounds.add();                                                                                                     \
    until_all_wait(round);                                                                                            \
    nap(kind.resource == kRelock ? milliseconds(5) : ns / 2);                                                         \
    if (kind.resource == kWrite) {                                                                                    \
      second_leaves.add();                                                                                            \
      second_has_left.wait_for(round);                                                                                \
    }                                                                                                                 \
    if (kind.resource == kRelock) signals_and_keeps(me);                                                              \
    nap(kind.resource == kRelock ? ns : ns - ns / 2);                                                                 \
    for (Place *place = places; place < places + waiters; ++place) {                                                  \
      const bool has_mutex = kind.resource == kMutex || kind.resource == kRelock;                                     \
      const bool has_rwlock = kind.resource == kRead || kind.resource == kWrite;                                      \
      if (has_mutex || has_rwlock || kind.resource == kMtx || kind.resource == kSpin) place->unlocked_ns = wall_ns(); \
      if (has_mutex) pthread_mutex_unlock(&place->mutex);                                                             \
      if (has_rwlock) pthread_rwlock_unlock(&place->rwlock);                                                          \
      if (kind.resource == kSpin) pthread_spin_unlock(&place->spin);                                                  \
      if (kind.resource == kMtx) mtx_unlock(&place->mtx);                                                             \
      if (kind.resource == kCond || kind.resource == kCnd) signals(place);                                            \
      if (kind.resource == kSemaphore) sem_post(&semaphore);                                                          \
    }                                                                                                                 \
    if (kind.resource == kBarrier) pthread_barrier_wait(&barrier);                                                    \
    if (kind.resource == kJoin || kind.resource == kThrdJoin) released.add();                                         \
    done.wait_for((uint32_t)waiters *round);                                                                          \
    NOT_A_TAIL_CALL();                                                                                                \
  }

// A waiter that has set out to wait may not have come there yet, where it shares its processor. Once it has, it sleeps;
// or it spins: it has run for longer by far than it takes to come there.
NOT_INLINED static void until_all_wait(uint32_t round) {
  arrived.wait_for((uint32_t)waiters * round);
  for (Place *place = places; place < places + waiters; ++place) {
    clockid_t clock;
    pthread_getcpuclockid(place->thread, &clock);
    const uint64_t spins_from = place->cpu_ns + milliseconds(1);
    while (kind.resource == kSpin ? clock_ns(clock) < spins_from : !is_asleep(place->tid)) nap(50000);
  }
}

static void *lives_a_round(void *round) {
  released.wait_for((uint32_t)(uintptr_t)round);
  return nullptr;
}

static int lives_a_round_too(void *round) { return lives_a_round(round) != nullptr; }

NOT_INLINED static void takes_all(uint32_t round, Function me) {
  if (kind.resource == kWrite) {
    second_reads.add();
    second_has_read.wait_for(round);
  }
  void *argument = (void *)(uintptr_t)round;
  for (Place *place = places; place < places + waiters; ++place) {
    int error = 0;
    if (kind.resource == kMutex) error = pthread_mutex_lock(&place->mutex);
    if (kind.resource == kRead) error = pthread_rwlock_wrlock(&place->rwlock);
    if (kind.resource == kWrite) error = pthread_rwlock_rdlock(&place->rwlock);
    if (kind.resource == kSpin) error = pthread_spin_lock(&place->spin);
    if (kind.resource == kMtx) error = mtx_lock(&place->mtx);
    if (kind.resource == kJoin) error = pthread_create(&place->joined, nullptr, lives_a_round, argument);
    if (kind.resource == kThrdJoin) error = thrd_create(&place->thrd_joined, lives_a_round_too, argument);
    if (error != 0) abort();
    place->holder = me;
  }
}

NOT_INLINED static void signals_and_keeps(Function me) {
  for (Place *place = places; place < places + waiters; ++place) {
    pthread_mutex_lock(&place->mutex);
    place->holder = me;
    place->ready = true;
    place->ready_ns = wall_ns();
    pthread_cond_signal(&place->cond);
  }
}

NOT_INLINED static void signals(Place *place) {
  if (kind.resource == kCond) {
    pthread_mutex_lock(&place->mutex);
    place->ready = true;
    pthread_mutex_unlock(&place->mutex);
    pthread_cond_signal(&place->cond);
  } else {
    mtx_lock(&place->mtx);
    place->ready = true;
    mtx_unlock(&place->mtx);
    cnd_signal(&place->cnd);
  }
}

HOLDS(hold_long, kHoldLong, 24)
HOLDS(hold_short, kHoldShort, 8)

PLAIN_NAME NOT_INLINED void leaves_early() {
  for (Place *place = places; place < places + waiters; ++place) pthread_rwlock_unlock(&place->rwlock);
  NOT_A_TAIL_CALL();
}

static void *second_reader(void *unused) {
  for (uint32_t round = 1;; ++round) {
    second_reads.wait_for(round);
    if (stops) return unused;
    for (Place *place = places; place < places + waiters; ++place) pthread_rwlock_rdlock(&place->rwlock);
    second_has_read.add();
    second_leaves.wait_for(round);
    leaves_early();
    second_has_left.add();
  }
}

PLAIN_NAME NOT_INLINED void *waiter(void *argument) {
  Place *place = (Place *)argument;
  place->thread = pthread_self();
  place->tid = gettid();
  if (kind.resource == kPassed) {
    while (wall_ns() < ends_ns) {
      wait_here(place);
      if (holds.size() % 4 == 0) {
        hold_short(0);
      } else {
        hold_long(0);
      }
      nap(milliseconds(2));  // come back while the next one has it
    }
  } else if (kind.resource == kHammer) {
    prctl(PR_SET_TIMERSLACK, 1);
    while (wall_ns() < ends_ns) {
      wait_here(place);
      busy(next_number(&place->random) % 16000);
    }
  } else if (kind.resource == kBrief) {
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t ns = 0; ns < ends_ns; ns += 5000) wait_here(place);
  } else {
    for (uint32_t round = 1;; ++round) {
      rounds.wait_for(round);
      if (stops) break;
      place->cpu_ns = thread_cpu_ns();
      arrived.add();
      wait_here(place);
      done.add();
    }
  }
  return nullptr;
}

// Everything that could wait, and need not.
NOT_INLINED static void never_waits() {
  for (int i = 0; i < 100000; ++i) {
    pthread_mutex_lock(&places->mutex);
    pthread_mutex_unlock(&places->mutex);
    pthread_rwlock_rdlock(&places->rwlock);
    pthread_rwlock_rdlock(&places->rwlock);
    pthread_rwlock_unlock(&places->rwlock);
    pthread_rwlock_unlock(&places->rwlock);
    pthread_rwlock_wrlock(&places->rwlock);
    pthread_rwlock_unlock(&places->rwlock);
    pthread_spin_lock(&places->spin);
    pthread_spin_unlock(&places->spin);
    mtx_lock(&places->mtx);
    mtx_unlock(&places->mtx);
    sem_post(&semaphore);
    sem_wait(&semaphore);
    pthread_cond_broadcast(&places->cond);
    cnd_broadcast(&places->cnd);
  }
}

static void set_up() {
  places = new Place[waiters]();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, kind.type);
  if (kind.attribute == kRobust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (kind.attribute == kInherit) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  for (int i = 0; i < waiters; ++i) {
    Place *place = &places[i];
    if (pthread_mutex_init(&place->mutex, &attributes) != 0) exit(3);
    pthread_rwlock_init(&place->rwlock, nullptr);
    pthread_spin_init(&place->spin, PTHREAD_PROCESS_PRIVATE);
    mtx_init(&place->mtx, mtx_timed);
    pthread_cond_init(&place->cond, nullptr);
    cnd_init(&place->cnd);
    place->holder = kNobody;
    place->random = 4711 + (uint64_t)i;
  }
  sem_init(&semaphore, 0, 0);
  pthread_barrier_init(&barrier, nullptr, (unsigned)waiters + 1);
  holds.reserve(1000000);
  waits.reserve(1000000);
}

// Of "mutex": each wait is cut where the mutex was given free, and everyone charged with his own part, from the time when
// the one before gave it free. Answers the sum of the squares of what each turn is charged with.
static double charge_holders(uint64_t *kept) {
  std::vector<uint64_t> of_turn(holds.size());
  for (const Wait &wait : waits) {
    auto hold = std::upper_bound(holds.begin(), holds.end(), wait.since,
                                 [](uint64_t ns, const Hold &other) { return ns < other.until; });
    for (uint64_t from = wait.since; from < wait.until; from = hold++->until) {
      of_turn[(size_t)(hold - holds.begin())] += hold->until - from;
      kept[hold->function] += hold->until - from;
    }
  }
  double squares = 0;
  for (const uint64_t ns : of_turn) squares += (double)ns * (double)ns;
  return squares;
}

static void print_functions(const char *name, const uint64_t *ns) {
  printf(", \"%s\": {", name);
  const char *comma = "";
  for (int i = 0; i < kNobody; ++i)
    if (ns[i]) {
      printf("%s\"%s\": %llu", comma, function_names[i], (unsigned long long)ns[i]);
      comma = ", ";
    }
  printf("}");
}

int main(int argc, char **argv) {
  const Kind *found = argc > 1 ? std::find_if(std::begin(kinds), std::end(kinds),
                                              [&](const Kind &each) { return strcmp(each.name, argv[1]) == 0; })
                               : std::end(kinds);
  if (found == std::end(kinds)) return 2;
  kind = *found;
  waiters = (int)argument(argc, argv, 2, 2);
  const uint64_t lasts = seconds(argument(argc, argv, 3, 1));
  set_up();
  ends_ns = kind.resource == kBrief ? lasts : wall_ns() + lasts;
  uint32_t round = 0;
  if (kind.resource == kUncontended) {
    never_waits();
  } else {
    std::vector<pthread_t> threads((size_t)waiters);
    pthread_t second;
    if (kind.resource == kWrite) pthread_create(&second, nullptr, second_reader, nullptr);
    for (int i = 0; i < waiters; ++i) pthread_create(&threads[(size_t)i], nullptr, waiter, &places[i]);
    if (kind.resource != kPassed && kind.resource != kHammer && kind.resource != kBrief) {
      while (round % 2 || wall_ns() < ends_ns) {
        if (++round % 2) {
          hold_long(round);
        } else {
          hold_short(round);
        }
      }
      stops = true;
      rounds.add();
      second_reads.add();
    }
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    if (kind.resource == kWrite) pthread_join(second, nullptr);
  }

  Books sum = {};
  for (int i = 0; i < waiters; ++i) {
    const Books &one = places[i].books;
    sum.waits += one.waits;
    sum.ns += one.ns;
    sum.slept += one.slept;
    sum.slept_ns += one.slept_ns;
    sum.slept_to_unlock_ns += one.slept_to_unlock_ns;
    sum.squares += one.squares;
    sum.to_unlock_ns += one.to_unlock_ns;
    sum.unsure += one.unsure;
    sum.unsure_ns += one.unsure_ns;
    sum.under_1ms_ns += one.under_1ms_ns;
    sum.count_variance += one.count_variance;
    sum.delay_variance += one.delay_variance;
    for (int function = 0; function < kFunctions; ++function) sum.ended[function] += one.ended[function];
  }
  uint64_t kept[kFunctions] = {};
  if (kind.resource == kPassed) {
    sum.squares = charge_holders(kept);
  } else {
    std::copy(std::begin(sum.ended), std::end(sum.ended), kept);
  }
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {{"waits", sum.waits},   {"wait_ns", sum.ns},          {"to_unlock_ns", sum.to_unlock_ns},
                {"unsure", sum.unsure}, {"unsure_ns", sum.unsure_ns}, {"under_1ms_ns", sum.under_1ms_ns},
                {"slept", sum.slept},   {"slept_ns", sum.slept_ns},   {"slept_to_unlock_ns", sum.slept_to_unlock_ns},
                {"rounds", round},      {"turns", holds.size()}};
  printf("{\"squares\": %.0f, \"count_variance\": %.0f, \"delay_variance\": %.0f", sum.squares, sum.count_variance,
         sum.delay_variance);
  for (const auto &each : counts) printf(", \"%s\": %llu", each.name, (unsigned long long)each.value);
  print_functions("ended", sum.ended);
  print_functions("kept", kept);
  printf("}\n");
}
