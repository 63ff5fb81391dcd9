#include "preload/wall_sampling.h"

#include <time.h>

#include <atomic>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/event_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/stack_table.h"
#include "preload/helper_thread.h"
#include "preload/tasks.h"
#include "preload/thread_look.h"

namespace prof {
namespace {

constexpr unsigned kMostThreads = 8192;  // looked at in a turn; those beyond are counted as lost
constexpr unsigned kMostAsked = 64;
constexpr int64_t kAnswerNs = 200'000'000;  // a thread that runs and gives no answer for so long is not reached

std::atomic<bool> g_on{false};
int64_t g_period_ns = 0;
unsigned g_depth = 0;
constinit HelperThread g_helper{};
LookRoom g_room;
int g_tids[kMostThreads];

// A look that waits for its answer: the sample is counted when it comes.
struct Asked {
  int tid;
  ThreadSlot* slot;
  int64_t since_ns;
  uint64_t weight_ns;
};
Asked g_asked[kMostAsked];
unsigned g_asked_count = 0;

bool is_on() { return g_on.load(std::memory_order_acquire); }

// No stack: one that says so.
Ref stack_of(const ThreadView& view) {
  if (view.stack != 0) return view.stack;
  const auto lost = static_cast<uint64_t>(StackEnd::lost);
  return intern_stack(&lost, 1, 0);
}

void count(int tid, const ThreadView& view, uint64_t weight_ns) {
  const Ref stack = stack_of(view);
  const Ref name = name_of_thread(tid);
  if (!is_on()) return;
  const Ref bucket = stack == 0 ? 0 : find_event_bucket(EventKind::wall, stack, wall_detail(name, view.state));
  if (bucket == 0) return count_loss(LossCause::region_full);
  count_events(region_at<EventBucket>(bucket), 1, weight_ns);
}

void take_answers() {
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  unsigned kept = 0;
  for (unsigned i = 0; i < g_asked_count; ++i) {
    const Asked& asked = g_asked[i];
    ThreadView view = {0, kStateNotReached, 0};
    Looked looked = look_again(asked.tid, asked.slot, g_depth, &g_room, &view);
    if (looked == Looked::asked && now - asked.since_ns >= kAnswerNs) {
      look_is_over(asked.slot);
      looked = Looked::unreachable;
    }
    if (looked == Looked::asked) {
      g_asked[kept++] = asked;
    } else if (looked != Looked::gone) {
      count(asked.tid, view, asked.weight_ns);
    }
  }
  g_asked_count = kept;
}

bool is_asked(int tid) {
  for (unsigned i = 0; i < g_asked_count; ++i) {
    if (g_asked[i].tid == tid) return true;
  }
  return false;
}

// False: it is gone, and its sample is the next one's.
bool sample(int tid, uint64_t weight_ns) {
  if (is_asked(tid)) {
    // It has run ever since, and this is one more of the same look.
    for (unsigned i = 0; i < g_asked_count; ++i) g_asked[i].weight_ns += g_asked[i].tid == tid ? weight_ns : 0;
    return true;
  }
  ThreadSlot* slot = find_slot(tid);
  ThreadView view = {0, kStateNotReached, 0};
  const Looked looked = look_at(tid, slot, g_depth, &g_room, &view);
  if (looked == Looked::gone) return false;
  if (looked == Looked::asked) {
    if (g_asked_count < kMostAsked) {
      g_asked[g_asked_count++] = {tid, slot, clock_ns(CLOCK_MONOTONIC), weight_ns};
      return true;
    }
    look_is_over(slot);
  }
  count(tid, view, weight_ns);
  return true;
}

unsigned list_threads() {
  unsigned count = 0;
  for_each_task([&](int tid) {
    if (count < kMostThreads) g_tids[count++] = tid;
  });
  return count;
}

void run() {
  int64_t next = clock_ns(CLOCK_MONOTONIC);
  while (is_on()) {
    const unsigned threads = list_threads();
    for (unsigned i = 0; i < threads && is_on(); ++i) {
      const int64_t now = clock_ns(CLOCK_MONOTONIC);
      // Where it could not keep up (a machine that was asleep, or too many samples asked for) the time that passed goes to this one.
      const int64_t periods = now > next ? 1 + (now - next) / g_period_ns : 1;
      next += periods * g_period_ns;
      const struct timespec until = timespec_of(next);
      raw_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
      take_answers();
      if (!sample(g_tids[i], static_cast<uint64_t>(periods * g_period_ns) * threads)) next -= periods * g_period_ns;
    }
    if (threads == 0) next += g_period_ns;
  }
  for (unsigned i = 0; i < g_asked_count; ++i) look_is_over(g_asked[i].slot);
  g_asked_count = 0;
}

}  // namespace

bool wall_sampling_start(int hz, unsigned stack_depth) {
  g_period_ns = 1'000'000'000 / hz;
  g_depth = stack_depth;
  region_root<EventRecord>(Root::events)->wall_period_ns = g_period_ns;
  region_root<EventRecord>(Root::events)->wall_start_ns = clock_ns(CLOCK_MONOTONIC);
  g_on.store(true, std::memory_order_release);
  if (helper_start(&g_helper, run)) return true;
  g_on.store(false, std::memory_order_release);
  LogLine(LogLevel::warn) << "no thread for wall-clock sampling: no wall profile";
  return false;
}

void wall_sampling_stop() { g_on.store(false, std::memory_order_release); }

void wall_sampling_forget() {
  g_on.store(false, std::memory_order_release);
  g_asked_count = 0;
  helper_forget(&g_helper);
}

}  // namespace prof
