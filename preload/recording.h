// What this process records: from the start what the settings name, and what somebody asks for later. The order in which the parts of
// a recording are switched on stands here.
#pragma once

#include <cstdint>

#include "core/base/region.h"
#include "core/report/config.h"

namespace prof {

// Those that need the locks' hooks.
inline constexpr KindSet kWaitKinds{ProfileKind::block, ProfileKind::mutex, ProfileKind::wall, ProfileKind::stacks,
                                    ProfileKind::trace};

// Whether this process records; nothing of it may be asked for otherwise. Signal-safe.
bool is_recording();
// Once for all, and for what is forked: is_recording() answers no, without a system call, and hooks make the real call only. What was
// recorded has been stopped and written before.
void recording_ends();
bool recording_has_ended();

// A region with a first thread in it (and what is known of its stack), and the sampling switched on. The settings stay where they are.
// Normal code; again in a child of fork. False: said, and nothing is left on. foreign_malloc: whose malloc the program calls, if its calls do not reach ours.
// parent: in a child of fork, the region whose labels go on; else null.
bool recording_start(const Config& config, uint64_t stack_low, uint64_t stack_high, const char* foreign_malloc,
                     const RegionHeader* parent);

// Whether anything was added to the region since recording began. Signal-safe.
bool recording_has_any();

// The process ends, or executes something: where it is a child that was made past the fork handlers, which records nothing, its parent's
// profiles say that there was one. Signal-safe.
void recording_counts_unseen_child();

// At exit. Normal code. True: a stretch of CPU sampling was going on.
bool recording_stop();

// In a child of fork: it is the parent's. Its region, which is still mapped; null: there was none.
RegionHeader* recording_forget();

// Whether a kind may be recorded in this process, from the start or later: its hooks are needed.
bool may_record(const Config& config, KindSet kinds);
// The same of what is recorded here, whose settings may be of no use.
bool recording_may_have(ProfileKind kind);

// Switches on a kind whose values grow as long as the process lives (or, of stacks, what they are taken by), if it is not on: it stays
// on. From a helper thread. When it was switched on (CLOCK_REALTIME); 0: it cannot be. from_start: whether that was when
// recording began.
struct RecordedSince {
  int64_t unix_ns;
  bool from_start;
};
RecordedSince recording_switch_on(ProfileKind kind);

bool is_recorded(ProfileKind kind);
// Of heap, block and mutex: since when (CLOCK_REALTIME; 0: it is off), and the rate that it has now. From a helper thread.
struct RecordedNow {
  int64_t unix_ns;
  int64_t rate;
};
RecordedNow recording_now(ProfileKind kind);
// Frames of a stack, at most. Signal-safe.
unsigned recorded_depth();

// Rates of what is counted from now on, 0: none; the kind is on then.
// False: its samples are weighed by the present one, and somebody takes them now.
bool set_cpu_hz(int hz);
bool set_wall_hz(int hz);
bool set_heap_rate(uint64_t bytes);  // false: no room
// Since when it is (CLOCK_REALTIME); 0: it cannot be.
int64_t set_block_rate(int64_t ns);
int64_t set_mutex_fraction(uint32_t fraction);

// The wall clock's samples, where no setting switched them on. From a helper thread.
bool wall_counting_start();
void wall_counting_stop();

// The trace, where no setting switched it on. From a helper thread.
bool trace_recording_start();
void trace_recording_stop();

}  // namespace prof
