#include "preload/threads.h"

#include <signal.h>

#include <climits>

#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "preload/cpu_sampling.h"

namespace prof {
namespace {

pthread_key_t g_key;
bool g_key_made = false;

// A key's destructors run in rounds while some destructor sets a value again. Ours waits for the last round, so that the
// program's own destructors are still sampled.
void on_thread_exit(void* value) {
  auto* slot = static_cast<ThreadSlot*>(value);
  if (g_region == nullptr || g_region->pid != raw_getpid()) return;
  if (++slot->exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS && pthread_setspecific(g_key, slot) == 0) return;
  cpu_sampling_thread_ends(slot);
}

uint64_t stack_bytes(const pthread_attr_t* attributes) {
  size_t bytes = 0;
  if (attributes != nullptr) {
    if (pthread_attr_getstacksize(attributes, &bytes) != 0) return 0;
    return bytes;
  }
  pthread_attr_t defaults;
  if (pthread_attr_init(&defaults) != 0) return 0;
  if (pthread_attr_getstacksize(&defaults, &bytes) != 0) bytes = 0;
  pthread_attr_destroy(&defaults);
  return bytes;
}

// Libraries block every signal around pthread_create so that their workers inherit it (liblzma, GLib, systemd do); their
// work would go unseen. Ours restarts what it interrupts. What a thread blocks itself, later, stays blocked.
void unblock_sigprof() {
  const uint64_t profiling = uint64_t{1} << (SIGPROF - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &profiling, nullptr, sizeof(profiling));
}

}  // namespace

bool threads_start() {
  if (!g_key_made) g_key_made = pthread_key_create(&g_key, on_thread_exit) == 0;
  return g_key_made;
}

void register_calling_thread(uint64_t stack_low, uint64_t stack_high) {
  ThreadSlot* slot = take_thread_slot();
  if (slot == nullptr) return count_loss(LossCause::thread_untracked);
  slot->stack_low = stack_low;
  slot->stack_high = stack_high;
  pthread_setspecific(g_key, slot);
  cpu_sampling_thread_begins(slot);
}

ThreadSlot* slot_of_calling_thread() {
  return g_key_made ? static_cast<ThreadSlot*>(pthread_getspecific(g_key)) : nullptr;
}

ThreadSlot* thread_is_created(const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  // Not in a child by vfork or raw clone: the region is its parent's.
  if (g_region == nullptr || !g_key_made || g_region->pid != raw_getpid()) return nullptr;
  ThreadSlot* slot = take_thread_slot();
  if (slot == nullptr) {
    count_loss(LossCause::thread_untracked);
    return nullptr;
  }
  slot->start_routine = reinterpret_cast<uint64_t>(start);
  slot->start_argument = reinterpret_cast<uint64_t>(argument);
  slot->stack_low = stack_bytes(attributes);  // its size, until the thread knows where it is
  return slot;
}

void thread_was_not_created(ThreadSlot* slot) { give_back_thread_slot(slot); }

void* start_thread(void* argument) {
  auto* slot = static_cast<ThreadSlot*>(argument);
  const auto start = reinterpret_cast<void* (*)(void*)>(slot->start_routine);
  auto* start_argument = reinterpret_cast<void*>(slot->start_argument);
  // glibc puts its thread descriptor at the stack's upper end, whether the stack is its own or the program's.
  slot->stack_high = pthread_self();
  slot->stack_low = slot->stack_low == 0 ? 0 : slot->stack_high - slot->stack_low;
  pthread_setspecific(g_key, slot);
  cpu_sampling_thread_begins(slot);
  unblock_sigprof();
  return start(start_argument);
}

}  // namespace prof
