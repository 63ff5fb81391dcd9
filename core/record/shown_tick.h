// One of the ticks that a thread has shown, drawn so that each is as likely as any other. Signal-safe.
//
// A perf clock shows no tick that comes due in the kernel. The timer beside it does, where it meets a system call; those that it does not
// meet are left over when the clock stops. They are as many as the thread's CPU clock says, and stand where those that were shown stand:
// at one of them, drawn, which over many threads puts them everywhere in proportion.
//
// Written by the thread itself, in its SIGPROF handler; read by whoever stops its clock.
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"

namespace prof {

struct CountedTick {
  Ref stack;
  Ref thread_name;
  LabelId labels;
  uint32_t stretch;  // 0: of none
};

// All zero: none.
struct ShownTick {
  std::atomic<uint32_t> version;  // odd while it is written
  std::atomic<uint32_t> random;   // state of its own numbers; 0 before the first
  std::atomic<uint64_t> seen;     // ticks that it was drawn from
  std::atomic<Ref> stack;         // 0: none
  std::atomic<Ref> thread_name;
  std::atomic<LabelId> labels;
  std::atomic<uint32_t> stretch;
};

// A tick was counted, so many times. Those of an earlier stretch are forgotten. seed: any number, another one for each thread.
void show_tick(ShownTick* shown, const CountedTick& tick, uint64_t ticks, uint32_t seed);

// The thread's clock begins again.
void forget_shown_tick(ShownTick* shown);

// False: none, or it is being written.
bool read_shown_tick(const ShownTick& shown, CountedTick* tick);

}  // namespace prof
