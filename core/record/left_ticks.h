// Ticks of a thread that came due where no signal could show them, each with the place where the thread was when that was noticed: the first
// at which it was seen again. Signal-safe.
//
// A perf clock shows no tick that comes due in the kernel. Those of a system call or of a page's first touch are shown by the timer beside it,
// if that meets them; until then, and where there was neither (a switch of threads), the place behind is the best that is known.
//
// Written by the thread itself, in its SIGPROF handler, and emptied by who starts its clock; read by whoever stops that.
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"

namespace prof {

struct TickPlace {
  Ref stack;
  Ref thread_name;
  LabelId labels;
  uint32_t stretch;  // 0: of none
};

struct LeftTick {
  TickPlace place;
  uint32_t ticks;
};

// Where there are more places, the last has the ticks of those that follow.
constexpr unsigned kLeftPlaces = 8;

// All zero: none.
struct LeftTicks {
  struct Entry {
    std::atomic<Ref> stack;
    std::atomic<Ref> thread_name;
    std::atomic<LabelId> labels;
    std::atomic<uint32_t> stretch;
    std::atomic<uint32_t> ticks;
  };
  std::atomic<uint32_t> version;  // odd while it is written
  std::atomic<uint32_t> used;
  Entry entries[kLeftPlaces];
};

// Those of an earlier stretch are forgotten.
void leave_ticks(LeftTicks* left, const TickPlace& place, uint32_t ticks);

void forget_left_ticks(LeftTicks* left);

// For the thread itself.
uint64_t sum_left_ticks(const LeftTicks& left);

// How many entries, oldest first; 0: none, or they are being written.
unsigned read_left_ticks(const LeftTicks& left, LeftTick (&entries)[kLeftPlaces]);

}  // namespace prof
