#include "preload/wall_sampling.h"

#include <linux/futex.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/event_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/stack_table.h"
#include "preload/helper_thread.h"
#include "preload/pause.h"
#include "preload/tasks.h"
#include "preload/thread_look.h"

namespace prof {
namespace {

constexpr unsigned kMostThreads = 8192;  // looked at; those beyond are stood for by these
constexpr unsigned kMostAsked = 64;
constexpr int64_t kAnswerNs = 1'000'000'000;  // a thread that gives no answer for so long is not reached

std::atomic<uint32_t> g_on{0};  // a futex: the sampler sleeps on it
int64_t g_period_ns = 0;
unsigned g_depth = 0;
constinit HelperThread g_helper{};
LookRoom g_room;
int g_tids[kMostThreads];

// A look that waits for its answer: the sample is counted when it comes.
struct Asked {
  ThreadSlot* slot;
  uint32_t use;  // its sequence then: with another one the thread has ended, or registered in a slot of its own
  Ref name;
  LabelId labels;  // that it had; an answer says them again
  int64_t since_ns;
  uint32_t looks;  // that found it running in the meantime: one answer for all
  uint64_t weight_ns;
};
Asked g_asked[kMostAsked];
unsigned g_asked_count = 0;

bool is_on() { return g_on.load(std::memory_order_acquire) != 0; }

// Until then, or the end.
void sleep_until(int64_t ns) {
  const struct timespec until = timespec_of(ns);
  raw_syscall(SYS_futex, &g_on, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 1, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
}

// No stack: one that says so.
Ref stack_of(const ThreadView& view) {
  if (view.stack != 0) return view.stack;
  const auto lost = static_cast<uint64_t>(StackEnd::lost);
  return intern_stack(&lost, 1, 0);
}

void count(Ref name, const ThreadView& view, uint32_t looks, uint64_t weight_ns) {
  if (is_recording_paused()) return;
  const Ref stack = stack_of(view);
  const Ref bucket =
      stack == 0 ? 0 : find_event_bucket(EventKind::wall, stack, wall_detail(name, view.state), view.labels);
  if (bucket == 0) return count_loss(LossCause::region_full);
  count_events(region_at<EventBucket>(bucket), looks, weight_ns);
}

// False: no answer yet, and it is waited for.
bool is_counted(const Asked& asked, bool is_over) {
  ThreadView view = {0, kStateNotReached, 0, asked.labels};
  if (!look_is_answered(asked.slot, g_room, &view)) {
    if (!is_over) return false;
    look_is_over(asked.slot, g_room);
  }
  count(asked.name, view, asked.looks, asked.weight_ns);
  return true;
}

// A thread that was seen to run and fell asleep before its answer is left to answer when it runs again: to count it as asleep would
// take from those that run in bursts.
void take_answers() {
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  unsigned kept = 0;
  for (unsigned i = 0; i < g_asked_count; ++i) {
    const Asked& asked = g_asked[i];
    const bool has_ended = asked.slot->sequence.load(std::memory_order_acquire) != asked.use;
    if (!is_counted(asked, has_ended || now - asked.since_ns >= kAnswerNs)) g_asked[kept++] = asked;
  }
  g_asked_count = kept;
}

// By its slot, where the question is, and not by its number: a thread that is adopted and then registers has another slot. A slot that
// was asked has its entry here, or nobody would take its timer back.
Asked* asked_of(const ThreadSlot* slot) {
  for (unsigned i = 0; i < g_asked_count; ++i) {
    if (g_asked[i].slot == slot) return &g_asked[i];
  }
  return nullptr;
}

// False: it is gone, and its sample is the next one's.
bool sample(int tid, uint64_t weight_ns) {
  ThreadSlot* slot = find_slot(tid);
  const uint32_t use = slot == nullptr ? 0 : slot->sequence.load(std::memory_order_acquire);
  // The slot's last thread was asked, and has ended just now.
  if (const Asked* last = asked_of(slot); last != nullptr && last->use != use) take_answers();
  // First: a thread that ends while it is looked at has no name afterwards.
  const Ref name = name_of_thread(tid);
  ThreadView view = {0, kStateNotReached, 0, 0};
  const Looked looked = look_at(tid, slot, g_depth, &g_room, &view);
  if (looked == Looked::gone) return false;
  if (looked == Looked::asked) {
    if (Asked* earlier = asked_of(slot); earlier != nullptr) {
      ++earlier->looks;
      earlier->weight_ns += weight_ns;
      return true;
    }
    if (g_asked_count < kMostAsked) {
      g_asked[g_asked_count++] = {slot, use, name, view.labels, clock_ns(CLOCK_MONOTONIC), 1, weight_ns};
      return true;
    }
    look_is_over(slot, g_room);
  }
  count(name, view, 1, weight_ns);
  return true;
}

// What the kernel says of the number of threads: the links of their folder, two or more than there are threads.
int64_t task_links() {
  struct stat st;
  return raw_syscall(SYS_stat, "/proc/self/task", &st) == 0 ? static_cast<int64_t>(st.st_nlink) : 0;
}

// The threads as last listed, in g_tids, and the choice of one to look at.
class Threads {
 public:
  void list() {
    const int64_t begin = clock_ns(CLOCK_MONOTONIC);
    table_ = table_now();
    count_ = 0;
    all_ = 0;
    for_each_task([&](int tid) {
      if (tid == gone_) return;
      if (count_ < kMostThreads) g_tids[count_++] = tid;
      ++all_;
    });
    links_ = task_links();
    listed_ns_ = clock_ns(CLOCK_MONOTONIC);
    took_ns_ = listed_ns_ - begin;
    // The sequence of the golden section (Weyl): any place, and all of them evenly.
    constexpr uint32_t kGoldenSection = 0x9e37'79b9;
    draw_ += kGoldenSection;
    at_ = static_cast<unsigned>(uint64_t{draw_} * count_ >> 32);
  }

  // Again, where threads have come or gone: those that libprof knows of, by their slots, others by their number. To list very many at each
  // look would cost more than the looks: no more than a fiftieth of the time.
  void list_if_changed() {
    if (table_ == table_now() && links_ == task_links()) return;
    if (clock_ns(CLOCK_MONOTONIC) - listed_ns_ >= 50 * took_ns_) list();
  }

  int64_t present() const { return std::max<int64_t>(all_ + task_links() - links_, 1); }

  // One of those that are there now, each as often as any other: in turns while they stay the same, else from anywhere on, so that which of them
  // it is does not hang on when the others came. Answers what look(tid) says of it; false: there is none.
  template <typename Look>  // bool(int tid); false: it is gone
  bool look_at_one(Look look) {
    for (bool is_new = false;;) {
      if (count_ == 0) {
        if (is_new) return false;
        list();
        is_new = true;
        continue;
      }
      if (at_ >= count_) at_ = 0;
      const int tid = g_tids[at_];
      if (look(tid)) {
        ++at_;
        return true;
      }
      if (is_new) {
        // The main thread's end leaves it in the list for as long as the process lives.
        if (tid == raw_getpid()) gone_ = tid;
        g_tids[at_] = g_tids[--count_];
        --all_;
      } else {
        list();
        is_new = true;
      }
    }
  }

 private:
  struct Table {
    uint64_t free;
    Ref all;
    bool operator==(const Table&) const = default;
  };
  static Table table_now() {
    const auto* table = region_root<ThreadTable>(Root::threads);
    return {table->free.load(std::memory_order_relaxed), table->all.load(std::memory_order_relaxed)};
  }

  unsigned count_ = 0;  // of those in g_tids
  int64_t all_ = 0;
  int64_t links_ = 0;
  Table table_ = {};
  int gone_ = 0;
  int64_t listed_ns_ = 0;
  int64_t took_ns_ = 0;
  unsigned at_ = 0;  // in g_tids: the next
  uint32_t draw_ = 0;
};

void note_threads(int64_t present) {
  std::atomic<uint32_t>& most = region_root<EventRecord>(Root::events)->wall_most_threads;
  if (present > most.load(std::memory_order_relaxed)) {
    most.store(static_cast<uint32_t>(present), std::memory_order_relaxed);
  }
}

// One look a period, the first at any moment of the first one: splitmix64 (Steele, Lea, Flood 2014) of the time.
int64_t first_look(int64_t now) {
  auto x = static_cast<uint64_t>(now) + 0x9e37'79b9'7f4a'7c15;
  x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
  x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
  x ^= x >> 31;
  return now + static_cast<int64_t>(x % static_cast<uint64_t>(g_period_ns));
}

// A look stands for a period of all threads that there are at that moment, and is at any of these. (Whom it is at must not be settled before that
// moment: a thread that has been there for long would be met in the place of those that have come since.) What was missed is made up for at once;
// where that is more than a turn (a machine that was asleep, more looks than there is time for), each look of a turn stands for its part of it.
void run() {
  Threads threads;
  int64_t owed_looks = 0;
  int64_t owed_ns = 0;
  for (int64_t next = first_look(clock_ns(CLOCK_MONOTONIC)); is_on(); next += g_period_ns) {
    sleep_until(next);
    if (!is_on()) break;
    take_answers();
    threads.list_if_changed();
    const int64_t present = threads.present();
    note_threads(present);
    const int64_t late_ns = clock_ns(CLOCK_MONOTONIC) - next;
    if (owed_looks == 0 && late_ns > present * g_period_ns) {
      owed_looks = present;
      owed_ns = late_ns;
      next += late_ns;
    }
    const int64_t extra_ns = owed_looks > 0 ? owed_ns : 0;
    if (owed_looks > 0) --owed_looks;
    const bool is_seen = threads.look_at_one(
        [&](int tid) { return sample(tid, static_cast<uint64_t>(threads.present() * g_period_ns + extra_ns)); });
    // The others have ended (each by a bare exit, or seccomp's): so does this one, or the process would not. Or they cannot be listed.
    if (!is_seen) break;
  }
  // What is still to be answered counts all the same.
  for (unsigned i = 0; i < g_asked_count; ++i) is_counted(g_asked[i], /*is_over=*/true);
  g_asked_count = 0;
}

void await_end(int most_milliseconds) {
  for (int i = 0; i < most_milliseconds && helper_is_at_work(g_helper); ++i) {
    const struct timespec pause = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
  }
}

}  // namespace

bool wall_sampling_start(int hz, unsigned stack_depth) {
  if (is_on() && helper_is_at_work(g_helper)) return true;
  // One that was told to end may not have had the time for it.
  await_end(1000);
  g_period_ns = 1'000'000'000 / hz;
  g_depth = stack_depth;
  g_room.looker = 1;
  region_root<EventRecord>(Root::events)->wall_period_ns = g_period_ns;
  region_root<EventRecord>(Root::events)->wall_start_ns = clock_ns(CLOCK_MONOTONIC);
  g_on.store(1, std::memory_order_release);
  if (helper_start(&g_helper, run, /*keeps_stderr=*/false)) return true;
  g_on.store(0, std::memory_order_release);
  LogLine(LogLevel::warn) << "no thread for wall-clock sampling: no wall profile";
  return false;
}

void wall_sampling_stop() {
  if (g_on.exchange(0) == 0) return;
  raw_syscall(SYS_futex, &g_on, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
  await_end(100);
}

bool wall_sampling_pause() {
  const int tid = g_helper.tid.load(std::memory_order_acquire);
  if (!is_on() || tid <= 0) return false;
  wall_sampling_stop();
  helper_await_gone(tid, 100);
  return true;
}

void wall_sampling_resume() {
  g_on.store(1, std::memory_order_release);
  // One that did not end in time goes on.
  if (helper_is_at_work(g_helper) || helper_start(&g_helper, run, /*keeps_stderr=*/false)) return;
  g_on.store(0, std::memory_order_release);
  LogLine(LogLevel::warn) << "no thread for wall-clock sampling in this namespace: the wall profile ends here";
}

void wall_sampling_forget() {
  g_on.store(0, std::memory_order_release);
  g_asked_count = 0;
  helper_forget(&g_helper);
}

}  // namespace prof
