#include "preload/threads.h"

#include <signal.h>

#include <atomic>
#include <climits>

#include "core/base/raw_syscall.h"
#include "core/record/event_buckets.h"
#include "core/record/loss_counters.h"
#include "preload/cpu_sampling.h"
#include "preload/fork_flag.h"
#include "preload/handler_masks.h"
#include "preload/own_stack.h"
#include "preload/pause.h"
#include "preload/recording.h"
#include "preload/sigprof_handler.h"
#include "preload/trace_sampling.h"
#include "preload/unblocked_threads.h"
#include "preload/wait_sampling.h"

namespace prof {
namespace {

pthread_key_t g_key;
bool g_key_made = false;
std::atomic<unsigned> g_count_depth{0};

void on_thread_exit(void* value);

// glibc keeps the values of so many keys in the thread itself, and calls their destructors in the keys' order. (Were it otherwise,
// waits in the destructors after ours would be counted as lost: their thread is not known any more.)
constexpr pthread_key_t kLastKeyInThread = 31;
unsigned g_rounds = 2;

// The last of those keys, so that the program's destructors are behind us when ours is called; else any.
bool make_key() {
  pthread_key_t made[kLastKeyInThread + 1];
  unsigned count = 0;
  while (count <= kLastKeyInThread && pthread_key_create(&made[count], on_thread_exit) == 0) {
    if (made[count++] >= kLastKeyInThread) break;
  }
  if (count == 0) return false;
  const bool is_last = made[count - 1] == kLastKeyInThread;
  const unsigned ours = is_last ? count - 1 : 0;
  for (unsigned i = 0; i < count; ++i) {
    if (i != ours) pthread_key_delete(made[i]);
  }
  g_key = made[ours];
  g_rounds = is_last ? 1 : 2;
  return true;
}

// A program that names it blocks the program's own.
bool is_blocked_for_program(uint64_t mask) { return blocks_sigprof_by_name(mask) && !sigprof_is_kept_out(mask); }

// A key's destructors run in rounds while some destructor sets a value again. Ours waits for the round in which the program's own
// have been called, so that the waits in them are still known, and for the last one where the thread is sampled or looked at; a
// round takes 0.1 us.
void on_thread_exit(void* value) {
  auto* slot = static_cast<ThreadSlot*>(value);
  if (g_region == nullptr || !fork_flag_holds() || recording_has_ended()) return;
  const unsigned rounds = sigprof_is_used() ? PTHREAD_DESTRUCTOR_ITERATIONS : g_rounds;
  if (++slot->exit_rounds < rounds && pthread_setspecific(g_key, slot) == 0) return;
  waits_of_thread_end(slot);
  trace_thread_ends(slot);
  if (slot->created_by != 0) count_events(region_at<EventBucket>(slot->created_by), 0, 1);
  block_thread_again();
  cpu_sampling_thread_ends(slot);
}

std::atomic<uint64_t> g_default_stack{0};  // bytes; 0: to be asked for

uint64_t stack_bytes(const pthread_attr_t* attributes) {
  size_t bytes = 0;
  if (attributes != nullptr) {
    if (pthread_attr_getstacksize(attributes, &bytes) != 0) return 0;
    return bytes;
  }
  if (const uint64_t known = g_default_stack.load(std::memory_order_relaxed); known != 0) return known;
  pthread_attr_t defaults;
  if (pthread_attr_init(&defaults) != 0) return 0;
  if (pthread_attr_getstacksize(&defaults, &bytes) != 0) bytes = 0;
  pthread_attr_destroy(&defaults);
  g_default_stack.store(bytes, std::memory_order_relaxed);
  return bytes;
}

}  // namespace

bool threads_start() {
  if (!g_key_made) g_key_made = make_key();
  return g_key_made;
}

void register_calling_thread(uint64_t stack_low, uint64_t stack_high) {
  ThreadSlot* slot = take_thread_slot();
  if (slot == nullptr) return count_loss(LossCause::thread_untracked);
  slot->stack_low = stack_low;
  slot->stack_high = stack_high;
  pthread_setspecific(g_key, slot);
  if (sigprof_is_used()) slot->held.store(is_blocked_for_program(mask_now()) ? 1 : 0, std::memory_order_relaxed);
  cpu_sampling_thread_begins(slot);
}

ThreadSlot* slot_of_calling_thread() {
  return g_key_made ? static_cast<ThreadSlot*>(pthread_getspecific(g_key)) : nullptr;
}

void count_threads(unsigned stack_depth) { g_count_depth.store(stack_depth, std::memory_order_release); }

Ref thread_creation_begins(void* (*start)(void*)) {
  const unsigned depth = g_count_depth.load(std::memory_order_acquire);
  if (depth == 0 || is_recording_paused() || !fork_flag_holds()) return 0;
  const Ref stack = own_stack(depth);
  if (stack == 0) return 0;
  const Ref bucket = find_event_bucket(EventKind::thread_created, stack, reinterpret_cast<uint64_t>(start));
  if (bucket == 0) count_loss(LossCause::region_full);
  return bucket;
}

void thread_is_made(Ref creation) {
  if (creation != 0) count_events(region_at<EventBucket>(creation), 1, 0);
}

ThreadSlot* thread_is_created(const pthread_attr_t* attributes, void* (*start)(void*), void* argument, Ref creation) {
  // Not in a child by a bare fork: the region is its parent's. (One by vfork may not make threads.)
  if (g_region == nullptr || !g_key_made || !fork_flag_holds() || recording_has_ended()) return nullptr;
  ThreadSlot* slot = take_thread_slot();
  if (slot == nullptr) {
    count_loss(LossCause::thread_untracked);
    return nullptr;
  }
  slot->start_routine = reinterpret_cast<uint64_t>(start);
  slot->start_argument = reinterpret_cast<uint64_t>(argument);
  slot->created_by = creation;
  if (const ThreadSlot* creator = slot_of_this_thread(); creator != nullptr && creator->inherits.load() != 0) {
    slot->labels.store(creator->labels.load(std::memory_order_relaxed), std::memory_order_relaxed);
    slot->inherits.store(1, std::memory_order_relaxed);
  }
  slot->made_by_unblocked = is_unblocked_thread() ? 1 : 0;
  slot->stack_low = stack_bytes(attributes);  // its size, until the thread knows where it is
  return slot;
}

void default_stack_changed() { g_default_stack.store(0, std::memory_order_relaxed); }

void thread_was_not_created(ThreadSlot* slot) { give_back_thread_slot(slot); }

namespace {

void thread_begins(ThreadSlot* slot) {
  // glibc puts its thread descriptor at the stack's upper end, whether the stack is its own or the program's.
  slot->stack_high = pthread_self();
  slot->stack_low = slot->stack_low == 0 ? 0 : slot->stack_high - slot->stack_low;
  pthread_setspecific(g_key, slot);
  const uint64_t mask = sigprof_is_used() ? mask_now() : 0;
  const bool is_held = is_blocked_for_program(mask);
  slot->held.store(is_held ? 1 : 0, std::memory_order_relaxed);
  cpu_sampling_thread_begins(slot);
  trace_thread_begins(slot);
  if (!is_held) unblock_thread(mask, slot->made_by_unblocked != 0);
}

}  // namespace

void* start_thread(void* argument) {
  auto* slot = static_cast<ThreadSlot*>(argument);
  const auto start = reinterpret_cast<void* (*)(void*)>(slot->start_routine);
  auto* start_argument = reinterpret_cast<void*>(slot->start_argument);
  thread_begins(slot);
  return start(start_argument);
}

int start_c11_thread(void* argument) {
  auto* slot = static_cast<ThreadSlot*>(argument);
  const auto start = reinterpret_cast<int (*)(void*)>(slot->start_routine);
  auto* start_argument = reinterpret_cast<void*>(slot->start_argument);
  thread_begins(slot);
  return start(start_argument);
}

}  // namespace prof
