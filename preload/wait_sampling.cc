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
#include "preload/trace_sampling.h"

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

// By the calling thread.
bool is_traced_here() { return trace_is_on() && !is_recording_paused(); }

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

void leave(WaitNote* note) {
  if (note->entry != 0) wait_ends(note->entry, note->since_ns);
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
    leave(&last);
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
  const bool is_traced = trace_is_on();
  note->stack = g_keeps_stacks.load(std::memory_order_relaxed) || is_traced ? own_stack(stack_depth()) : 0;
  const bool has_unlock = kind == WaitKind::mutex || kind == WaitKind::read_lock || kind == WaitKind::write_lock ||
                          kind == WaitKind::condition;
  const bool asks_unlocks = mutex_fraction() != 0 || is_traced;
  const bool shows_itself = kind == WaitKind::mutex && is_normal(static_cast<const pthread_mutex_t*>(object));
  note->entry = has_unlock && asks_unlocks ? wait_begins(object, mutex, now, shows_itself) : 0;
  note->kind.store(kind, std::memory_order_release);
  return note;
}

namespace {

void trace(ThreadSlot* slot, const WaitNote& note, WaitKind kind, int64_t now, Waited waited) {
  const WaitEnd end = waited == Waited::timed_out     ? WaitEnd::timed_out
                      : waited == Waited::interrupted ? WaitEnd::interrupted
                                                      : WaitEnd::reached;
  const auto* object = reinterpret_cast<const void*>(note.object);
  if (waited == Waited::was_last) return trace_release(slot, kind, object, note.since_ns, now, note.stack, ~0u);
  trace_wait(slot, note, kind, now, end);
}

}  // namespace

void wait_is_over(WaitNote* note, Waited waited) {
  if (!fork_flag_holds()) return;
  const ErrnoSaver errno_saver;
  ThreadSlot* slot = slot_of_this_thread();
  const int64_t now = wait_clock();
  const WaitKind kind = note->kind.load(std::memory_order_relaxed);
  leave(note);
  slot->waits.store(static_cast<uint32_t>(note - slot->notes), std::memory_order_relaxed);
  if (waited == Waited::no || !is_on()) return;
  if (waited != Waited::was_last) count_block(slot, note->stack, kind, now - note->since_ns);
  if (is_traced_here()) trace(slot, *note, kind, now, waited);
}

void waits_of_thread_end(ThreadSlot* slot) {
  if (slot->waits.load(std::memory_order_relaxed) == 0) return;
  for (uint32_t used = slot->waits.exchange(0); used > 0; --used) leave(&slot->notes[used - 1]);
}

EndingWaits unlock_begins(const void* lock) {
  if (!is_on()) return {};
  const ErrnoSaver errno_saver;
  const int64_t now = wait_clock();
  EndingWaits unlock = {lock_is_released(lock, now), lock, now, false};
  if (unlock.release.waiters == 0) return {};
  const uint32_t fraction = mutex_fraction();
  unlock.is_charged = fraction == 1;
  if (fraction > 1) {
    ThreadSlot* slot = slot_of_this_thread();
    unlock.is_charged = slot != nullptr && next_random(slot) % fraction == 0;
  }
  return unlock;
}

void unlock_is_over(const EndingWaits& unlock) {
  const bool is_traced = is_traced_here();
  if (unlock.release.waiters == 0 || (!unlock.is_charged && !is_traced) || !is_on()) return;
  const ErrnoSaver errno_saver;
  const int64_t end = is_traced ? wait_clock() : 0;
  const Ref stack = own_stack(stack_depth());
  if (unlock.is_charged) {
    const uint32_t fraction = std::max(mutex_fraction(), 1u);
    count(EventKind::mutex, stack, /*detail=*/0, fraction, static_cast<uint64_t>(unlock.release.waited_ns) * fraction);
  }
  if (is_traced) {
    trace_release(slot_of_this_thread(), WaitKind::mutex, unlock.object, unlock.begin_ns, end, stack,
                  unlock.release.waiters);
  }
}

EndingWaits signal_begins(const void* condition, uint32_t most, uint32_t present) {
  if (!is_on() || present == 0) return {};
  const ErrnoSaver errno_saver;
  const int64_t now = wait_clock();
  condition_is_signalled(condition, most, present, now);
  return {{.waiters = most < present ? most : present}, condition, now, false};
}

void signal_is_over(const EndingWaits& signal) {
  if (signal.release.waiters == 0 || !is_traced_here() || !is_on()) return;
  const ErrnoSaver errno_saver;
  const int64_t end = wait_clock();
  trace_release(slot_of_this_thread(), WaitKind::condition, signal.object, signal.begin_ns, end,
                own_stack(stack_depth()), signal.release.waiters);
}

}  // namespace prof
