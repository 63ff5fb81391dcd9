#include "preload/all_stacks.h"

#include <time.h>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "preload/tasks.h"
#include "preload/thread_look.h"

namespace prof {
namespace {

constexpr int64_t kMostNs = 100'000'000;
constexpr int64_t kPauseNs = 500'000;

LookRoom g_room;  // looker 0; one helper thread at a time:
std::atomic<bool> g_busy{false};

void publish(ThreadSlot* slot, int tid, uint32_t number, const ThreadView& view) {
  slot->view = view;
  slot->view_name = name_of_thread(tid);
  slot->view_tid = tid;
  slot->view_number.store(number, std::memory_order_release);
}

bool is_viewed(const ThreadSlot& slot, uint32_t number) {
  return slot.view_number.load(std::memory_order_relaxed) == number;
}

// The thread's slot; a new one for a thread that was made past us.
ThreadSlot* slot_of(int tid) {
  if (ThreadSlot* slot = find_slot(tid); slot != nullptr) return slot;
  ThreadSlot* slot = adopt_thread(tid);
  if (slot == nullptr) count_loss(LossCause::thread_untracked);
  return slot;
}

void view_all(uint32_t number, unsigned stack_depth) {
  const int64_t until = clock_ns(CLOCK_MONOTONIC) + kMostNs;
  bool awaits_answers = false;
  for_each_task([&](int tid) {
    ThreadSlot* slot = slot_of(tid);
    if (slot == nullptr) return;
    // What the slot's last thread was asked, which has ended since, this one does not answer.
    if (is_viewed(*slot, number) && slot->view_tid != tid) look_is_over(slot, g_room);
    ThreadView view = {0, kStateNotReached, 0, 0};
    const Looked looked = look_at(tid, slot, stack_depth, &g_room, &view);
    if (looked == Looked::gone) return;
    publish(slot, tid, number, view);
    if (looked != Looked::asked) return;
    awaits_answers = true;
    slot->view.state = kStateAsked;
  });
  while (awaits_answers && clock_ns(CLOCK_MONOTONIC) < until) {
    const struct timespec pause = timespec_of(kPauseNs);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
    awaits_answers = false;
    for_each_thread_slot([&](ThreadSlot* slot) {
      if (!is_viewed(*slot, number) || slot->view.state != kStateAsked) return;
      ThreadView view = {0, kStateNotReached, 0, 0};
      // By the number that it was seen under: the slot may be another's by now, or nobody's where the thread has registered in its own.
      const Looked looked = look_again(slot->view_tid, slot, stack_depth, &g_room, &view);
      if (looked == Looked::asked) {
        awaits_answers = true;
        return;
      }
      slot->view = view;
      if (looked == Looked::gone) slot->view_number.store(0);
    });
  }
  for_each_thread_slot([&](ThreadSlot* slot) {
    // Also one that was listed twice, and found asleep after it was asked; or that has ended since.
    if (slot->looks[g_room.looker].timer.load(std::memory_order_relaxed) != 0) look_is_over(slot, g_room);
    if (is_viewed(*slot, number) && slot->view.state == kStateAsked) slot->view.state = kStateNotReached;
  });
}

}  // namespace

bool view_all_threads(uint32_t number, unsigned stack_depth) {
  constexpr int kMostPauses = 1000;
  for (int i = 0; g_busy.exchange(true, std::memory_order_acquire); ++i) {
    if (i == kMostPauses) return false;
    const struct timespec pause = timespec_of(kPauseNs);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
  }
  view_all(number, stack_depth);
  g_busy.store(false, std::memory_order_release);
  return true;
}

void views_forget() { g_busy.store(false); }

}  // namespace prof
