// One walk of a stack, frame by frame; capture.cc says for whom. Signal-safe.
#pragma once

#include <cstdint>

#include "core/unwind/machine.h"
#include "core/unwind/readable_memory.h"
#include "core/unwind/rule_cache.h"
#include "core/unwind/rule_source.h"
#include "core/unwind/unwind.h"
#include "core/unwind/walk_memo.h"

namespace prof {

// A frame pointer further up than this is not believed: no unwind information vouches for it.
inline constexpr uint64_t kMaxGuessedFrame = 1 << 20;

// The addresses of a walk, leaf first; libprof's own are left out.
class Frames {
 public:
  Frames(uint64_t* out, unsigned capacity) : out_(out), capacity_(capacity) {}

  // False: there is no room for it.
  bool add(LookupAddress address) {
    // libprof's own: the start routine of a thread goes through it.
    if (address.value - own_start_ < own_size_) return true;
    if (count_ == capacity_) return false;
    out_[count_++] = address.value;
    return true;
  }
  unsigned count() const { return count_; }
  void clear() { count_ = 0; }

  static void leave_out(CodeRange own_code) {
    own_start_ = own_code.start;
    own_size_ = own_code.end - own_code.start;
  }

 private:
  static inline uint64_t own_start_ = 0;
  static inline uint64_t own_size_ = 0;
  uint64_t* const out_;
  const unsigned capacity_;
  unsigned count_ = 0;
};

// One frame's registers, and whether its pc is a return address.
struct Frame {
  Registers registers;
  bool called = false;  // pc is a return address

  LookupAddress lookup() const { return called ? lookup_of_return(registers.pc) : lookup_of_pc(registers.pc); }
};

enum class Step { caller, end, complex };

// How far the last walk's frames led.
enum class Along { differs, full, end };

// From frame to frame of one stack: along the last walk where it is the same, by rules where it is not.
class Walker {
 public:
  // link: of the link register, 0 where there is none or it is not known. memo: null for none. Where there is one, bp is known.
  Walker(const Registers& registers, uint64_t link, bool knows_bp, const ReadableMemory& memory, WalkMemo* memo)
      : memory_(memory), generation_(rule_cache_generation()), knows_bp_(knows_bp), memo_(memo) {
    frame_.registers = registers;
    set_link(link);
    if (memo_ != nullptr) memo_->begin(generation_);
  }

  const Frame& frame() const { return frame_; }
  StackEnd end() const { return end_; }

  // Follows the last walk while this one is the same. Ends at a frame that is not in `frames` yet, or with the walk.
  Along go_along_memo(Frames* frames) {
    if (memo_ == nullptr || !knows_sp()) return Along::differs;
    const Registers& at = frame_.registers;
    if ((at.pc & WalkedFrame::kCalled) != 0) [[unlikely]]
      return Along::differs;
    const WalkedFrame* walked = memo_->find(WalkedFrame::pc_word(at.pc, frame_.called), at.sp, at.bp);
    if (walked == nullptr) return Along::differs;
    same_ = memo_->at();
    for (;;) {
      const WalkedFrame* caller = memo_->caller();
      const uint64_t bp_at = walked->caller_bp_at;
      const bool is_last = bp_at == WalkedFrame::kOutermost;
      if (!is_last && (caller == nullptr || bp_at == WalkedFrame::kByOtherMeans)) return go_apart(*walked);
      if (!frames->add(walked->lookup())) return Along::full;
      if (is_last) return Along::end;
      Registers to = {0, caller->sp, walked->bp};
      if (!read_return(walked->return_place.address(to.sp), &to.pc) ||
          (bp_at != WalkedFrame::kBpUnchanged && !memory_.read(bp_at, &to.bp))) {
        stop(StackEnd::unreadable);
        return Along::end;
      }
      memo_->go_to_caller();
      const bool is_same = (to.pc & WalkedFrame::kCalled) == 0 &&
                           caller->pc == WalkedFrame::pc_word(to.pc, /*called=*/true) && caller->bp == to.bp;
      if (!is_same) {
        if (arrive(to, /*called=*/true) == Step::end) return Along::end;
        memo_->add_since(same_);
        same_ = 0;
        return Along::differs;
      }
      walked = caller;
    }
  }

  // The rule of the present frame. Before its address is recorded: it may turn out to be no return address.
  void find_rule() {
    rule_ = rule_of_frame();
    if (rule_.kind() != RuleKind::no_info || !frame_.called) return;
    // The first instruction of a function that nobody called: makecontext leaves its address where a caller's would be.
    frame_.called = false;
    rule_ = rule_of_frame();
    if (rule_.kind() == RuleKind::no_info) frame_.called = true;
  }

  Step step() {
    const Registers before = frame_.registers;
    const uint64_t pc = WalkedFrame::pc_word(before.pc, frame_.called);
    caller_bp_at_ = WalkedFrame::kByOtherMeans;
    const Step step = step_by_rule();
    if (memo_ != nullptr && step != Step::complex) {
      memo_->add({pc, before.sp, before.bp, caller_bp_at_, return_place_});
    }
    return step;
  }

  // After the walk's end.
  void keep_memo() {
    if (memo_ != nullptr) memo_->end(same_);
  }

 private:
  // From a frame of the memo on, by rules.
  Along go_apart(const WalkedFrame& from) {
    frame_.registers = {from.pc & ~WalkedFrame::kCalled, from.sp, from.bp};
    frame_.called = (from.pc & WalkedFrame::kCalled) != 0;
    if (frame_.called) set_link(0);  // else it is the frame that the walk was at
    memo_->add_since(same_);
    same_ = 0;
    return Along::differs;
  }

  Step step_by_rule() {
    const UnwindRule rule = rule_;
    const Registers& at = frame_.registers;
    const auto offset = static_cast<uint64_t>(rule.cfa_offset());
    uint64_t base = 0;
    if (!knows_bp_ && needs_bp(rule)) return stop(StackEnd::unknown_register);
    switch (rule.kind()) {
      case RuleKind::cfa_sp:
        if (!knows_sp()) return step_by_record(rule);
        return step_to_known(at.sp + offset, rule);
      case RuleKind::cfa_bp:
        if (!knows_sp()) return step_to(at.bp + offset, rule);
        return step_to_known(at.bp + offset, rule);
      case RuleKind::cfa_deref_sp:
        if (!memory_.read(at.sp + static_cast<uint64_t>(rule.deref_offset()), &base)) return stop(StackEnd::unreadable);
        return step_to(base + offset, rule);
      case RuleKind::cfa_deref_bp:
        if (!memory_.read(at.bp + static_cast<uint64_t>(rule.deref_offset()), &base)) return stop(StackEnd::unreadable);
        return step_to(base + offset, rule);
      case RuleKind::signal_frame:
        return step_over_signal();
      case RuleKind::outermost:
        caller_bp_at_ = WalkedFrame::kOutermost;
        return stop(StackEnd::complete);
      case RuleKind::no_info:
        return step_by_frame_pointer();
      case RuleKind::none:
      case RuleKind::complex:
        break;
    }
    return Step::complex;
  }

  static bool needs_bp(UnwindRule rule) {
    const RuleKind kind = rule.kind();
    return kind == RuleKind::cfa_bp || kind == RuleKind::cfa_deref_bp || kind == RuleKind::no_info ||
           rule.bp() == BpRule::at_bp || kind == RuleKind::none || kind == RuleKind::complex;
  }

  Step stop(StackEnd why) {
    end_ = why;
    return Step::end;
  }

  UnwindRule rule_of_frame() const {
    const uint64_t lookup = frame_.lookup().value;
    UnwindRule rule = rule_cache_find(lookup, generation_);
    if (rule.kind() == RuleKind::none) {
      const RuleOfRange found = rule_from_source(frame_.registers.pc, lookup);
      rule = found.rule;
      const bool is_range = found.start < found.end;
      rule_cache_store(lookup, is_range ? found.start : lookup, is_range ? found.end : lookup + 1, generation_, rule);
    }
    return rule;
  }

  // The link register: only in the frame that was interrupted is it the return address.
  void set_link(uint64_t link) {
    if constexpr (kHasLinkRegister) link_ = without_signature(link);
  }
  static bool is_by_link(UnwindRule rule) { return kHasLinkRegister && rule.returns_by_link(); }

  // False after a frame whose end is not known; sp is then only below the real one.
  bool knows_sp() const { return kRecordAboveFrame || knows_sp_; }
  void set_knows_sp(bool knows) {
    if constexpr (!kRecordAboveFrame) knows_sp_ = knows;
  }

  bool read_return(uint64_t address, uint64_t* pc) {
    if (!memory_.read(address, pc)) return false;
    *pc = without_signature(*pc);
    return true;
  }

  // cfa follows from the registers.
  Step step_to_known(uint64_t cfa, UnwindRule rule) {
    const uint64_t bp = frame_.registers.bp;
    const Step step = step_to(cfa, rule);
    if (step == Step::end || is_by_link(rule)) return step;
    return_place_ = ReturnPlace::of(cfa, rule.return_offset());
    const auto offset = static_cast<uint64_t>(rule.bp_offset());
    caller_bp_at_ = WalkedFrame::kBpUnchanged;
    if (rule.bp() == BpRule::at_cfa) caller_bp_at_ = cfa + offset;
    if (rule.bp() == BpRule::at_bp) caller_bp_at_ = bp + offset;
    return step;
  }

  Step step_to(uint64_t cfa, UnwindRule rule) {
    uint64_t pc;
    if (is_by_link(rule)) {
      // Such a frame may be empty. It goes on all the same: the next one has no link register.
      if (cfa < frame_.registers.sp) return stop(StackEnd::no_progress);
      if (link_ == 0) return stop(StackEnd::unknown_register);
      pc = link_;
    } else {
      if (cfa <= frame_.registers.sp) return stop(StackEnd::no_progress);
      const ReturnPlace place = ReturnPlace::of(cfa, rule.return_offset());
      if (!read_return(place.address(cfa), &pc)) return stop(StackEnd::unreadable);
    }
    uint64_t bp = frame_.registers.bp;
    if (rule.bp() == BpRule::at_cfa && !memory_.read(cfa + static_cast<uint64_t>(rule.bp_offset()), &bp)) {
      return stop(StackEnd::unreadable);
    }
    knows_bp_ = knows_bp_ || rule.bp() == BpRule::at_cfa;
    if (rule.bp() == BpRule::at_bp &&
        !memory_.read(frame_.registers.bp + static_cast<uint64_t>(rule.bp_offset()), &bp)) {
      return stop(StackEnd::unreadable);
    }
    set_knows_sp(true);
    return arrive({pc, cfa, bp}, /*called=*/true);
  }

  // The rule counts from an sp that is not known. But where a function saves bp beside the return address, bp points there.
  Step step_by_record(UnwindRule rule) {
    if (!knows_bp_) return stop(StackEnd::unknown_register);
    if (rule.bp() != BpRule::at_cfa || rule.return_offset() != rule.bp_offset() + 8) {
      return stop(StackEnd::no_unwind_info);
    }
    return step_to(frame_.registers.bp - static_cast<uint64_t>(rule.bp_offset()), rule);
  }

  Step step_over_signal() {
    if (!knows_sp()) return stop(StackEnd::no_unwind_info);
    const uint64_t context = frame_.registers.sp + kSignalContext;
    Registers to;
    uint64_t link = 0;
    if (!memory_.read(context + kContextPc, &to.pc) || !memory_.read(context + kContextSp, &to.sp) ||
        !memory_.read(context + kContextBp, &to.bp) ||
        (kHasLinkRegister && !memory_.read(context + kContextLink, &link))) {
      return stop(StackEnd::unreadable);
    }
    knows_bp_ = true;
    memory_.move_to(to.sp);  // the handler may have run on an alternate stack
    const Step step = arrive(to, /*called=*/false);
    set_link(link);
    return step;
  }

  // Code without unwind information (JIT, hand-written): believed only if it reads like a frame further up this stack whose
  // caller is code that we know.
  Step step_by_frame_pointer() {
    const Registers& at = frame_.registers;
    Registers to;
    to.sp = at.bp + 16;
    if (at.bp < at.sp || at.bp - at.sp > kMaxGuessedFrame || at.bp % 8 != 0) return stop(end_without_rule());
    if (!memory_.read(at.bp, &to.bp) || !read_return(at.bp + 8, &to.pc)) return stop(end_without_rule());
    if (to.pc < kFirstCodeAddress || to.pc >> kAddressBits != 0) return stop(end_without_rule());
    set_knows_sp(kRecordAboveFrame);
    return arrive(to, /*called=*/true);
  }

  Step arrive(const Registers& to, bool called) {
    if (to.pc == 0) return stop(StackEnd::complete);
    frame_.registers = to;
    frame_.called = called;
    if (called) set_link(0);
    return Step::caller;
  }

  ReadableMemory memory_;
  const uint32_t generation_;
  bool knows_bp_;
  WalkMemo* const memo_;
  unsigned same_ = 0;  // while it goes along the memo, and at its end: how many of the memo's frames it shares
  uint64_t caller_bp_at_ = WalkedFrame::kByOtherMeans;
  [[no_unique_address]] ReturnPlace return_place_;
  uint64_t link_ = 0;  // 0: not known
  bool knows_sp_ = true;
  Frame frame_;
  UnwindRule rule_;
  StackEnd end_ = StackEnd::complete;
};

}  // namespace prof
