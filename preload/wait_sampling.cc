#include "preload/wait_sampling.h"

#include <algorithm>
#include <atomic>

#include "core/base/clocks.h"
#include "core/base/errno_saver.h"
#include "core/record/event_buckets.h"
#include "core/record/loss_counters.h"
#include "preload/fork_flag.h"
#include "preload/normal_mutex.h"
#include "preload/own_stack.h"
#include "preload/pause.h"
#include "preload/thread_clock.h"

namespace prof {

uint32_t g_wait_recording = 0;

namespace {

std::atomic<bool> g_on{false};
// The settings; they may change while it is on.
std::atomic<int64_t> g_block_rate_ns{0};
std::atomic<uint32_t> g_mutex_fraction{0};
std::atomic<bool> g_keeps_stacks{false};
std::atomic<unsigned> g_stack_depth{0};

unsigned stack_depth() { return g_stack_depth.load(std::memory_order_relaxed); }
uint32_t mutex_fraction() { return g_mutex_fraction.load(std::memory_order_relaxed); }

bool is_on() { return g_on.load(std::memory_order_acquire) && fork_flag_holds(); }

// Uniform in [0, 2^32). xorshift32 (Marsaglia 2003).
uint32_t next_random(ThreadSlot* slot) {
  uint32_t x = slot->random;
  if (x == 0)
    x = static_cast<uint32_t>(signal_value_of(*slot) * 0x9e37'79b1) ^ static_cast<uint32_t>(wait_clock()) ^ 1u;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  slot->random = x == 0 ? 1 : x;
  return x;
}

// Of the calling thread.
void count(EventKind kind, Ref stack, uint64_t detail, double events, uint64_t total) {
  if (stack == 0 || is_recording_paused()) return;  // 0: its loss was counted
  const Ref bucket = find_event_bucket(kind, stack, detail, labels_of_this_thread());
  if (bucket == 0) return count_loss(LossCause::region_full);
  count_events(region_at<EventBucket>(bucket), events, total);
}

// A wait of the rate or more counts as it is; a shorter one in proportion, and then for all that were not taken.
void count_block(ThreadSlot* slot, Ref stack, WaitKind wait, int64_t waited_ns) {
  const int64_t rate = g_block_rate_ns.load(std::memory_order_relaxed);
  if (rate == 0) return;
  const int64_t waited = waited_ns < 1 ? 1 : waited_ns;
  const auto detail = static_cast<uint64_t>(wait);
  if (waited >= rate) return count(EventKind::block, stack, detail, 1, static_cast<uint64_t>(waited));
  const double chance = static_cast<double>(waited) / static_cast<double>(rate);
  if (next_random(slot) >= chance * 4294967296.0) return;
  count(EventKind::block, stack, detail, 1 / chance, static_cast<uint64_t>(rate));
}

// has_it_at: when it got its mutex; 0: it gave up, or another kind of lock.
void leave(WaitNote* note, int64_t has_it_at) {
  if (note->entry != 0) wait_ends(note->entry, note->since_ns, has_it_at);
  note->entry = 0;
  note->kind.store(WaitKind::none, std::memory_order_release);
}

uint64_t stack_pointer() { return reinterpret_cast<uint64_t>(__builtin_frame_address(0)); }

bool is_on_own_stack(const ThreadSlot& slot, uint64_t address) {
  return address >= slot.stack_low && address < slot.stack_high;
}

// Waits that this thread left without our knowing: their frames are further down the stack than the present one.
void drop_left_notes(ThreadSlot* slot, uint64_t frame) {
  uint32_t used = slot->waits.load(std::memory_order_relaxed);
  while (used > 0) {
    WaitNote& last = slot->notes[used - 1];
    const bool same_stack = is_on_own_stack(*slot, frame) && is_on_own_stack(*slot, last.frame);
    if (!same_stack || last.frame > frame) return;
    leave(&last, 0);
    slot->waits.store(--used, std::memory_order_relaxed);
  }
}

}  // namespace

void wait_sampling_start(const WaitSettings& settings) {
  if (!fork_flag_set()) return;
  g_block_rate_ns.store(settings.block_rate_ns, std::memory_order_relaxed);
  g_mutex_fraction.store(settings.mutex_fraction, std::memory_order_relaxed);
  g_keeps_stacks.store(settings.keeps_stacks, std::memory_order_relaxed);
  g_stack_depth.store(settings.stack_depth, std::memory_order_relaxed);
  g_on.store(true, std::memory_order_release);
}

void wait_sampling_stop() { g_on.store(false, std::memory_order_release); }

void wait_sampling_forget() {
  wait_sampling_stop();
  ++g_wait_recording;
}

int wait_thread() {
  const ThreadSlot* slot = slot_of_this_thread();
  return slot == nullptr ? 0 : slot->tid.load(std::memory_order_relaxed);
}

WaitNote* wait_is_begun(WaitKind kind, const void* object, const void* mutex) {
  if (!is_on()) return nullptr;
  ThreadSlot* slot = slot_of_this_thread();
  if (slot == nullptr) {
    count_loss(LossCause::wait_of_unknown_thread);
    return nullptr;
  }
  const ErrnoSaver errno_saver;
  const int64_t now = wait_clock();
  const uint64_t frame = stack_pointer();
  drop_left_notes(slot, frame);
  const uint32_t used = slot->waits.load(std::memory_order_relaxed);
  if (used >= kWaitNotes) return nullptr;
  // Taken first: a signal handler that comes in between and waits has the next one.
  slot->waits.store(used + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  WaitNote* note = &slot->notes[used];
  note->frame = frame;
  note->since_ns = now;
  note->object = reinterpret_cast<uint64_t>(object);
  note->stack = g_keeps_stacks.load(std::memory_order_relaxed) ? own_stack(stack_depth()) : 0;
  const bool has_unlock = kind == WaitKind::mutex || kind == WaitKind::read_lock || kind == WaitKind::write_lock ||
                          kind == WaitKind::condition;
  const bool shows_itself = kind == WaitKind::mutex && is_normal(static_cast<const pthread_mutex_t*>(object));
  note->entry = has_unlock && mutex_fraction() != 0 ? wait_begins(object, mutex, now, shows_itself) : 0;
  note->kind.store(kind, std::memory_order_release);
  return note;
}

void wait_is_over(WaitNote* note, bool counts, bool succeeded) {
  if (!fork_flag_holds()) return;
  const ErrnoSaver errno_saver;
  ThreadSlot* slot = slot_of_this_thread();
  const int64_t now = wait_clock();
  const int64_t waited = now - note->since_ns;
  const WaitKind kind = note->kind.load(std::memory_order_relaxed);
  const bool has_mutex = kind == WaitKind::mutex ? succeeded : kind == WaitKind::condition && counts;
  leave(note, has_mutex ? now : 0);
  slot->waits.store(static_cast<uint32_t>(note - slot->notes), std::memory_order_relaxed);
  if (counts && is_on()) count_block(slot, note->stack, kind, waited);
}

void waits_of_thread_end(ThreadSlot* slot) {
  for (uint32_t used = slot->waits.exchange(0); used > 0; --used) leave(&slot->notes[used - 1], 0);
}

Release unlock_begins(const void* lock) { return released(lock, wait_clock()); }

Release released(const void* lock, int64_t now) {
  if (!is_on()) return {};
  const ErrnoSaver errno_saver;
  Release release = lock_is_released(lock, now);
  const uint32_t fraction = mutex_fraction();
  if (fraction == 0) release.waiters = 0;  // it was switched off
  if (release.waiters == 0 || fraction == 1) return release;
  ThreadSlot* slot = slot_of_this_thread();
  if (slot == nullptr || next_random(slot) % fraction != 0) release.waiters = 0;
  return release;
}

void unlock_is_over(const Release& release) {
  if (release.waiters == 0 || !is_on()) return;
  const ErrnoSaver errno_saver;
  const uint32_t fraction = std::max(mutex_fraction(), 1u);
  count(EventKind::mutex, own_stack(stack_depth()), /*detail=*/0, fraction,
        static_cast<uint64_t>(release.waited_ns) * fraction);
}

void signal_begins(const void* condition, uint32_t most, uint32_t present) {
  if (!is_on()) return;
  const ErrnoSaver errno_saver;
  if (present != 0) condition_is_signalled(condition, most, present, wait_clock());
}

}  // namespace prof
