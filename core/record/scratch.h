// Memory for one handler at work: room for a stack's frames, and a stack to run on. Signal-safe and lock-free. Private memory of
// the process, not of the region; a page of it is touched when it is first used.
#pragma once

#include <cstdint>

#include "core/record/stack_table.h"

namespace prof {

struct Scratch {
  static constexpr unsigned kStackBytes = 24 * 1024;  // measured need of a cold frame: see tests/unit/unwind
  uint64_t frames[kMaxStackFrames + 1];
  alignas(16) unsigned char stack[kStackBytes];
  void* stack_top() { return stack + kStackBytes; }
};

// Null: all are in use.
Scratch* take_scratch();
void give_back_scratch(Scratch* scratch);

// In a child of fork: the threads that held some are not there.
void reset_scratch();

}  // namespace prof
