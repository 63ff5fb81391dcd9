// The threads that are sampled: one slot each, reused after the thread ended. Signal-safe and lock-free.
//
// A slot's fields belong to the thread in it, but for `tid` and `sequence`, which anyone may read, and what a switching on or
// off changes under the sampling switch (preload/cpu_sampling.cc).
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"
#include "core/record/left_ticks.h"

namespace prof {

// What a thread waits for.
enum class WaitKind : uint32_t { none, mutex, read_lock, write_lock, spin_lock, condition, semaphore, barrier, join };

// One wait that is going on. Written by the waiting thread only; `kind` last at its beginning, and first at its end.
struct WaitNote {
  std::atomic<WaitKind> kind;
  Ref stack;         // where; 0: not kept
  int64_t since_ns;  // CLOCK_MONOTONIC
  uint64_t object;   // address of what it waits for
  uint64_t frame;    // stack pointer: a wait that was left by a jump is told by it
  uint32_t entry;    // of the wait table; 0: none
  uint32_t reserved;
};
inline constexpr uint32_t kWaitNotes = 4;  // a signal handler may wait within a wait

// What a thread was seen to do. state: a WaitKind, or one of these.
inline constexpr uint32_t kStateRunning = 0;
inline constexpr uint32_t kStateAsleep = 0x80;      // in the kernel, in no system call
inline constexpr uint32_t kStateNotReached = 0x81;  // it runs, and gave no answer in time
inline constexpr uint32_t kStateAsked = 0x82;       // it runs, and is about to answer
inline constexpr uint32_t kStateCall = 0x100;       // and above: in the system call of this number
struct ThreadView {
  Ref stack;  // 0: not known
  uint32_t state;
  int64_t waited_ns;  // 0: not known
  LabelId labels;
};

// A question to a thread that runs, by one of those that look: it is asked while `answered` is behind `asked`.
struct ThreadLook {
  std::atomic<uint32_t> timer;  // that asks: its number, and 1; 0: none. Who takes it out deletes it
  std::atomic<uint32_t> asked;
  std::atomic<uint32_t> answered;
  Ref stack;  // the answer
  LabelId labels;
};
inline constexpr unsigned kLookers = 2;  // the stacks' and the wall clock's

// Of a thread's clock, which whoever switches sampling on or off may start or stop beside the thread itself.
enum class ClockState : uint32_t {
  off,
  starts,   // somebody is at it
  to_stop,  // the same, and will stop it at once: it was switched off meanwhile
  runs,     // the clock fields of its slot are valid
  stops     // somebody is at it
};

// What the kernel says that a thread has used.
struct ThreadUsage {
  int64_t cpu_ns;
  int64_t kernel_ns;            // of that: by what its ticks have met
  uint64_t voluntary_switches;  // it gave the processor up of itself
  int64_t at_ns;                // CLOCK_MONOTONIC; 0: not asked yet
};

// The last wait of its for a ring that was made again (preload/ring_waits.h).
struct RingWait {
  uint64_t sp;
  int64_t first_ns, last_ns;  // CLOCK_MONOTONIC: where it may have been the same call each time
};

inline constexpr int64_t kNotHeld = -1;

struct ThreadSlot {
  std::atomic<Ref> next_free;      // valid while the slot is free; who pops beside another may read it late
  Ref next;                        // all slots, newest first
  std::atomic<uint32_t> sequence;  // counts the slot's uses: a late signal for an earlier thread is told by it
  std::atomic<int32_t> tid;        // 0: free, or not started yet
  std::atomic<ClockState> clock_state;
  int32_t timer;        // kernel timer id, -1 none
  int32_t perf_fd;      // until the first tick; -1 none
  int32_t perf_fd_was;  // its number, which a child's copy has for longer
  uint32_t exit_rounds;
  uint32_t first_seen;                // 1: the first tick of this clock has come
  std::atomic<uint32_t> registered;   // 1: the thread registered itself, and knows its slot
  uint64_t perf_id;                   // what the kernel says of perf_fd: to know it from a reused number
  uint64_t perf_page;                 // the mapping that holds the perf event; 0 none
  uint64_t stack_low, stack_high;     // of the thread's own stack; 0 where not known
  int64_t clock_start_ns;             // the thread's CPU clock when sampling of it began
  int64_t phase_ns;                   // drawn from (0, period]: how long after that the first tick is due
  std::atomic<uint64_t> ticks_given;  // since then: by the thread in its handler, and last by who stops the clock
  int64_t last_tick_ns;               // perf: CLOCK_MONOTONIC at the last signal of the event; 0: none yet
  uint32_t ticks_unchecked;           // perf: signals since the CPU clock was last read
  ThreadUsage usage;                  // perf: at the timer's last signal
  LeftTicks left;                     // perf: due, and shown by no signal; in user mode: where the thread was last met
  Ref name;                           // thread_names: as last asked for
  uint32_t name_version;              // of the names' version then
  uint32_t name_ticks;                // counted under it since
  std::atomic<uint32_t> waits;        // notes in use
  uint32_t random;                    // state of the thread's own numbers
  WaitNote notes[kWaitNotes];
  Ref created_by;                  // event_buckets; 0: not counted
  std::atomic<Ref> trace;          // its ring (trace_rings.h); 0: none yet
  std::atomic<LabelId> labels;     // at present; set by the thread itself, or by its creator before it begins
  std::atomic<uint32_t> inherits;  // 1: threads that it creates begin with its labels
  uint32_t made_by_unblocked;      // 1: by a thread in which libprof has unblocked SIGPROF
  std::atomic<uint32_t> held;      // 1: it blocks SIGPROF by name: it is given no clock, and asked by no look
  int64_t last_hold_ns;            // CLOCK_MONOTONIC_COARSE
  std::atomic<int64_t>
      held_from_ns;  // the thread's CPU clock when what it uses while it is held began to be due; or kNotHeld
  RingWait ring_wait;
  std::atomic<uint32_t> uses_rings;  // 1: ticks and looks come to it in user mode only, once that is known
  uint32_t ticks_in_user_mode;       // 1: its clock does
  std::atomic<Ref> ring_stack;       // where it was met in io_uring_enter; 0: nowhere yet
  // 1 + the ticks of its time in the kernel that have been counted, there or elsewhere; 0: none of this clock's.
  std::atomic<uint64_t> ring_ticks;
  int64_t last_ring_call_ns;  // CLOCK_MONOTONIC_COARSE, of one that found a tick of the kernel's since the one before
  ThreadLook looks[kLookers];
  Ref view_name;  // of the last snapshot of all stacks that this thread is in:
  int32_t view_tid;
  std::atomic<uint32_t> view_number;
  ThreadView view;
  uint64_t start_routine;  // for the start trampoline; owner's pointers, opaque to readers
  uint64_t start_argument;
};

struct ThreadTable {
  std::atomic<Ref> all;
  std::atomic<uint32_t> adopted;  // slots that were given to threads which did not register
  std::atomic<uint64_t> free;     // count of pops << 32 | first free slot: the count tells a slot that came back (ABA)
};

// A free slot, its fields reset. Null: no room.
ThreadSlot* take_thread_slot();
// A slot for a thread that was found by its tid; its own, where it has registered meanwhile. Null: no room.
ThreadSlot* adopt_thread(int tid);
// The thread of this slot registers, now or at last, and its tid is there already: another that it was adopted into (or that an earlier
// thread of its number had) is handed to drop(), to be given back. Quick where nothing was ever adopted.
template <typename Drop>
void drop_adopted(const ThreadSlot* own, int tid, Drop drop);

// The thread has ended; its clock is stopped.
void give_back_thread_slot(ThreadSlot* slot);

// What a signal carries to find the slot again, whether a signal's value is one of these, and the slot it means; null: of an earlier
// use, or not ours.
uint64_t signal_value_of(const ThreadSlot& slot);
bool is_signal_value(uint64_t value);
ThreadSlot* slot_of_signal_value(uint64_t value);

// In a child of fork, of its parent's table: as far as that is mapped here.
template <typename Visit>  // void(ThreadSlot*)
void for_each_thread_slot(Visit visit) {
  Ref ref = region_root<ThreadTable>(Root::threads)->all.load(std::memory_order_acquire);
  while (ref != 0 && region_maps(ref)) {
    auto* slot = region_at<ThreadSlot>(ref);
    ref = slot->next;
    visit(slot);
  }
}

template <typename Drop>
void drop_adopted(const ThreadSlot* own, int tid, Drop drop) {
  auto* table = region_root<ThreadTable>(Root::threads);
  if (table->adopted.load(std::memory_order_seq_cst) == 0) return;
  for_each_thread_slot([&](ThreadSlot* slot) {
    int expected = tid;  // who adopts it at this moment may see this slot, and take that one back itself
    if (slot == own || slot->registered != 0 || !slot->tid.compare_exchange_strong(expected, 0)) return;
    table->adopted.fetch_sub(1, std::memory_order_relaxed);
    drop(slot);
  });
}

}  // namespace prof
