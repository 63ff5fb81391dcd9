// Whole walks of a thread that were made before, so that a stack that is asked for again and again (at a lock, at a thread's creation)
// need not be walked again. Signal-safe; private memory of the process.
//
// A walk follows from the registers that it begins with, the rules, and the words that it reads of the stack: return addresses and
// saved frame pointers. Where all of them are as they were, so is the stack, and who asks gets the number that he gave it. Each word
// is read and compared, so an answer is never that of another stack. What rests on anything else (libunwind, a signal's frame, a guess)
// is not kept, nor is a stack that does not end as a stack should.
//
// They belong to a WalkMemo, and are used by who has taken it.
#pragma once

#include <cstdint>

#include "core/unwind/unwind.h"

namespace prof {

struct WalkedFrame;

class KnownWalks {
 public:
  static constexpr unsigned kWalks = 8;    // the last ones; more places than that are seldom in turn
  static constexpr unsigned kWords = 128;  // at most two a frame

  struct Start {
    Registers registers;
    uint64_t rules;  // epoch and generation
    uint64_t key;    // what else the number rests on
    bool operator==(const Start& other) const;
  };

  // The number that the walk from `start` was given. 0: it is not known, or what it read has changed.
  uint32_t find(const Start& start, const StackBounds& bounds) const;

  // A walk that has ended as it should: its frames, outermost first. number: not 0.
  void keep(const Start& start, const StackBounds& bounds, const WalkedFrame* frames, unsigned count, uint32_t number);

 private:
  struct Word {
    uint64_t address, value;
  };
  struct Walk {
    Start start;
    uint64_t highest;  // of the addresses
    uint32_t number;   // 0: none
    uint32_t count;
    Word words[kWords];
  };

  bool is_unchanged(const Walk& walk, const StackBounds& bounds) const;

  uint64_t sps_[kWalks] = {};  // of walks_[i].start, side by side
  unsigned next_ = 0;
  Walk walks_[kWalks] = {};
};

}  // namespace prof
