// Stacks of functions that do not exist: their rules are put into the cache, their frames into an array.
#pragma once

#include <criterion/criterion.h>
#include <signal.h>

#include <vector>

#include "core/unwind/rule_cache.h"
#include "core/unwind/unwind.h"

namespace prof {

inline constexpr unsigned kThread = 5;
inline constexpr unsigned kWordsAFrame = 4;
inline constexpr uint64_t kFrameBytes = kWordsAFrame * 8;

// Code of no object, whose rules are put into the cache: function i has 256 bytes. The return address into it is in the middle.
inline uint64_t code(unsigned function) { return 0x7e00'0000'0000 + uint64_t{256} * function; }
inline uint64_t return_into(unsigned function) { return code(function) + 100; }

inline void tell_rule(unsigned function, UnwindRule rule) {
  rule_cache_store(code(function), code(function), code(function) + 256, rule_cache_generation(), rule);
}

// Frames of four words: two of its own, the caller's rbp, the return address. Those of even functions are found by rsp and those of
// odd ones by rbp, which points to where the caller's is. Function 0 is the outermost.
inline constexpr unsigned kFunctions = 64;
inline UnwindRule usual_rule(unsigned function) {
  if (function == 0) return UnwindRule(RuleKind::outermost);
  return function % 2 == 0 ? UnwindRule::make(RuleKind::cfa_sp, kFrameBytes, 0, BpRule::at_cfa, -16)
                           : UnwindRule::make(RuleKind::cfa_bp, 16, 0, BpRule::at_cfa, -16);
}
inline void tell_usual_rules() {
  for (unsigned i = 0; i < kFunctions; ++i) tell_rule(i, usual_rule(i));
}

class MadeStack {
 public:
  // The outermost frame is at the top.
  explicit MadeStack(const std::vector<unsigned>& functions) {
    for (const unsigned function : functions) call(function);
  }

  void call(unsigned function) {
    const uint64_t sp = frames_.empty() ? end() - 64 : frames_.back().sp;
    Registers callee = {return_into(function), sp, 0};
    if (!frames_.empty()) {
      word(sp - 8) = frames_.back().pc;
      word(sp - 16) = frames_.back().bp;
      callee.sp = sp - kFrameBytes;
    }
    // Also where the frame is found by rsp: as compilers use it.
    callee.bp = callee.sp + 16;
    frames_.push_back(callee);
  }
  void go_back(unsigned times = 1) { frames_.resize(frames_.size() - times); }
  unsigned depth() const { return static_cast<unsigned>(frames_.size()); }

  // Of the frame that was called `index`-th, from 0: what it saved.
  uint64_t& saved_bp(unsigned index) { return word(frames_[index].sp + 16); }
  uint64_t& return_address(unsigned index) { return word(frames_[index].sp + 24); }
  uint64_t bp_of(unsigned index) const { return frames_[index].bp; }
  Registers& registers() { return frames_.back(); }

  // A walk along the memo is the same as one without. Answers the frames.
  std::vector<uint64_t> check(unsigned capacity = 1000) {
    const std::vector<uint64_t> alone = walk(capacity, /*memo=*/false);
    const StackEnd end = end_;
    const std::vector<uint64_t> along = walk(capacity, /*memo=*/true);
    cr_assert(along == alone, "%zu frames along the memo, %zu without", along.size(), alone.size());
    cr_assert(end_ == end);
    return alone;
  }

  std::vector<uint64_t> walk(unsigned capacity, bool memo) {
    ucontext_t context = {};
    context.uc_stack.ss_flags = SS_DISABLE;
    context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(frames_.back().pc);
    context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(frames_.back().sp);
    context.uc_mcontext.gregs[REG_RBP] = static_cast<greg_t>(frames_.back().bp);
    std::vector<uint64_t> frames(capacity);
    const CaptureResult result = memo ? capture(context, bounds(), kThread, frames.data(), capacity)
                                      : capture(context, bounds(), frames.data(), capacity);
    frames.resize(result.frames);
    end_ = result.end;
    return frames;
  }
  StackEnd walk_end() const { return end_; }

  // As of code that runs on this stack.
  CalleeSaved here() const {
    CalleeSaved here = {};
    here.pc = frames_.back().pc;
    here.sp = frames_.back().sp;
    here.bp = frames_.back().bp;
    return here;
  }
  StackBounds bounds() const { return {reinterpret_cast<uint64_t>(words_.data()), end()}; }

 private:
  uint64_t end() const { return reinterpret_cast<uint64_t>(words_.data() + words_.size()); }
  uint64_t& word(uint64_t address) { return words_[(address - reinterpret_cast<uint64_t>(words_.data())) / 8]; }

  std::vector<uint64_t> words_ = std::vector<uint64_t>(4096);
  std::vector<Registers> frames_;
  StackEnd end_ = StackEnd::complete;
};

// main and `depth` - 1 frames of different functions above each other.
inline std::vector<unsigned> functions(unsigned depth) {
  std::vector<unsigned> all(depth);
  for (unsigned i = 1; i < depth; ++i) all[i] = 1 + i % (kFunctions - 1);
  return all;
}

}  // namespace prof
