// The last walk of a thread, so that the next one need not begin at nothing: the outer frames of a thread are the same most of the
// time. Signal-safe; private memory of the process.
//
// A frame's registers (pc, sp, bp) and the memory above it decide what its caller is. Where a walk arrives at registers that the last
// walk had too, its rule is the same, and the caller's sp with it: only the return address and the saved bp are read again, and
// compared. What differs ends the comparison there, and the walk goes on by rules; so it does at each frame whose caller follows from
// something else (a signal's frame, a link register). So a memo makes a walk shorter and never another one.
//
// One memo serves the threads whose number is the same but for a multiple of kWalkMemos, one at a time; who finds it taken, or
// another thread's walk in it, walks by rules. In a child of fork no memo is valid: another thread may have been in the middle of
// changing it.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/address.h"
#include "core/unwind/known_walks.h"
#include "core/unwind/machine.h"

namespace prof {

inline constexpr unsigned kWalkMemos = 64;

struct WalkedFrame {
  uint64_t pc;  // as pc_word() has it
  uint64_t sp;
  uint64_t bp;
  uint64_t caller_bp_at;                                // where the caller's bp was read; or one of the words below
  [[no_unique_address]] ReturnPlace return_place = {};  // of x86-64 it takes no room

  // Whether it is a return address stands in the top bit. Addresses that have this bit themselves, of broken stacks, are one word: no
  // code is there, and the caller of such a frame is found by other means.
  static constexpr uint64_t kCalled = uint64_t{1} << 63;
  static uint64_t pc_word(uint64_t pc, bool called) {
    if ((pc & kCalled) != 0) [[unlikely]]
      return ~uint64_t{0};
    return called ? pc | kCalled : pc;
  }

  // Words instead of caller_bp_at. No address is as small.
  static constexpr uint64_t kBpUnchanged = 0;
  static constexpr uint64_t kOutermost = 1;     // it has no caller
  static constexpr uint64_t kByOtherMeans = 2;  // its caller is not found from its registers alone

  LookupAddress lookup() const { return (pc & kCalled) != 0 ? lookup_of_return(pc & ~kCalled) : lookup_of_pc(pc); }
};

// Frames of the last walk, outermost first, and those that the present one has gone by rules.
class WalkMemo {
 public:
  static constexpr unsigned kFrames = 128;  // of longer stacks the outermost

  // The beginning of a walk. What was kept under another generation of rules is forgotten.
  void begin(uint32_t generation) {
    if (valid_in_ != valid_in(generation)) kept_ = 0;
    valid_in_ = valid_in(generation);
    at_ = kept_;
    fresh_ = 0;
  }

  // The frame of the last walk that has these registers. pc: as pc_word() has it. Null: none.
  const WalkedFrame* find(uint64_t pc, uint64_t sp, uint64_t bp) {
    while (at_ != 0 && frames_[at_ - 1].sp < sp) --at_;
    if (at_ == 0) return nullptr;
    const WalkedFrame& frame = frames_[at_ - 1];
    return frame.sp == sp && frame.pc == pc && frame.bp == bp ? &frame : nullptr;
  }
  // Of the one that find() or caller() gave last: its caller in the last walk. Null: not known.
  const WalkedFrame* caller() const { return at_ > 1 ? &frames_[at_ - 2] : nullptr; }
  void go_to_caller() { --at_; }
  unsigned at() const { return at_; }

  // A frame that was gone by rules.
  void add(const WalkedFrame& frame) { fresh_frames_[fresh_++ % kFrames] = frame; }
  // The frames that find() and caller() gave since at() was `from` are part of a walk that has gone another way since.
  void add_since(unsigned from) {
    for (unsigned i = from; i > at_; --i) add(frames_[i - 1]);
  }

  // What known_walks.h keeps of this memo's threads. rules: the generation.
  uint32_t known(const Registers& from, uint32_t generation, uint64_t key, const StackBounds& bounds) const {
    return known_.find({from, valid_in(generation), key}, bounds);
  }
  // The last walk, if it was from there under these rules, is known from now on. number: not 0.
  void make_known(const Registers& from, uint32_t generation, uint64_t key, const StackBounds& bounds,
                  uint32_t number) {
    if (valid_in_ == valid_in(generation)) {
      known_.keep({from, valid_in_, key}, bounds, frames_, kept_, number);
    }
  }

  // The end of a walk: kept are the outermost `same` frames of the last one and what was added.
  void end(unsigned same);

 private:
  friend WalkMemo* take_walk_memo(unsigned);
  friend void give_back_walk_memo(WalkMemo*);

  uint64_t valid_in(uint32_t generation) const { return uint64_t{epoch_} << 32 | generation; }

  std::atomic<uint32_t> taken_ = 0;  // the epoch it is taken in; 0: free
  uint32_t epoch_ = 0;               // of who has it
  uint64_t valid_in_ = 0;            // epoch and generation of rules of what is kept
  unsigned kept_ = 0;
  unsigned at_ = 0;
  unsigned fresh_ = 0;
  WalkedFrame frames_[kFrames] = {};
  WalkedFrame fresh_frames_[kFrames] = {};  // leaf first, the last kFrames of them
  KnownWalks known_;
};

// Null: it is taken.
WalkMemo* take_walk_memo(unsigned thread);
void give_back_walk_memo(WalkMemo* memo);

}  // namespace prof
