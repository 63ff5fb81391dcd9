// Waits of the whole process: what the interposed waiting calls hand over to. Lock-free and signal-safe: a call may come from a
// signal handler, and ours may interrupt it. It never waits itself, and reads a lock only while its caller may.
//
// The way of a call: interpose_{mutex,rwlock,…}.cc look whether it will have to wait; most do not, and go straight to the real
// one. One that will is noted here (wait_is_begun), with its stack: taken before the wait, so that nobody is kept waiting for it.
// After the wait it is counted (wait_is_over). An unlock looks at one word (may_be_waited_for, core/record/wait_table.h), and where
// somebody may wait it is charged (unlock_begins, unlock_is_over).
#pragma once

#include <cstdint>

#include "core/base/clocks.h"
#include "core/record/thread_table.h"
#include "core/record/wait_table.h"

namespace prof {

struct WaitSettings {
  int64_t block_rate_ns = 0;    // of the block profile; 0: none
  uint32_t mutex_fraction = 0;  // of the mutex profile; 0: none
  bool keeps_stacks = false;    // of waits that are going on, for who looks at the thread (thread_look.h)
  unsigned stack_depth = 0;
};

// What became of a call that waited.
enum class Waited {
  no,          // an error: it does not count
  reached,     // it has what it waited for
  owner_died,  // likewise; nobody has given it free
  timed_out,
  interrupted,  // by a signal
  was_last,     // the others waited for this one, which has waited for nobody
};

// Which recording this is: it changes when a child of fork lets go of its parent's.
extern uint32_t g_wait_recording;

// Recording begins, or goes on with other settings: the region has its tables. Signal-safe; again in a child of fork.
void wait_sampling_start(const WaitSettings& settings);
// Nothing is recorded from now on.
void wait_sampling_stop();
// In a child of fork: the notes are the parent's.
void wait_sampling_forget();

// The thread that calls, as the kernel numbers it; 0: not known here.
int wait_thread();

// Called before a wait. mutex: of a condition, the one that the waiter gives up; else null. Null: the wait is not recorded.
// errno stays, as everywhere here.
WaitNote* wait_is_begun(WaitKind kind, const void* object, const void* mutex = nullptr);
// After it. A wait that is left otherwise (cancellation, a jump out of a handler) is not counted, and its note goes with the next wait or
// the thread's end.
void wait_is_over(WaitNote* note, Waited waited);

// A thread has ended: waits that it was cancelled in.
void waits_of_thread_end(ThreadSlot* slot);

// A call that ends waits, while it goes on.
struct EndingWaits {
  Release release;
  const void* object = nullptr;  // only its address: it may be gone after the call
  int64_t begin_ns = 0;
  bool is_charged = false;  // in the mutex profile
};

// Before a lock is given free that may be waited for. Answers how long the others have waited in all.
EndingWaits unlock_begins(const void* lock);
// After it, when the lock itself may be gone.
void unlock_is_over(const EndingWaits& unlock);
inline int64_t wait_clock() { return clock_ns(CLOCK_MONOTONIC); }

// Before a condition is signalled that may be waited for, and after it. most: of its waiters; present: how many there are by its own
// account.
EndingWaits signal_begins(const void* condition, uint32_t most, uint32_t present);
void signal_is_over(const EndingWaits& signal);

// Calls `call` as a wait, and answers what it answers. did_wait(result): what it says of the wait.
template <typename Call, typename DidWait>
inline auto waited(WaitKind kind, const void* object, Call call, DidWait did_wait, const void* mutex = nullptr) {
  const uint32_t recording = g_wait_recording;
  WaitNote* note = wait_is_begun(kind, object, mutex);
  const auto result = call();
  // A handler may have forked meanwhile, and its child come back here: the note is its parent's.
  if (note != nullptr && recording == g_wait_recording) wait_is_over(note, did_wait(result));
  return result;
}

}  // namespace prof
