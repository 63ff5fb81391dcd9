// How to get from a frame to its caller, as one 64-bit word. Values only; signal-safe.
//
//   63       60 59    58 57                  32 31          16 15           0
//   ┌──────────┬────────┬──────────────────────┬──────────────┬──────────────┐
//   │ kind     │ bp     │ cfa_offset (signed)  │ bp_offset    │ deref_offset │   offsets in bytes
//   └──────────┴────────┴──────────────────────┴──────────────┴──────────────┘
//
// CFA: the value of sp in the caller. The return address is always at CFA - 8 on x86-64 (System V psABI, 3.2.2).
//
// Where there is a link register (aarch64) it is where the function saved it, mostly right above the frame pointer, or still in that
// register. No frame there has its CFA in memory, so the low bits say that instead, and wider where they can: registers are saved at
// the low end of a frame, which may be a large one.
//
//   58..59   31                  16 15                   0
//   0        return_offset                                   bp unchanged
//   1, 2     bp_offset              return_offset
//   3        bp_offset, at CFA; return_offset is 8 more
#pragma once

#include <cstdint>

#include "core/unwind/machine.h"

namespace prof {

enum class RuleKind : uint8_t {
  none = 0,      // not a rule: an empty cache entry
  cfa_sp,        // CFA = sp + cfa_offset
  cfa_bp,        // CFA = bp + cfa_offset
  cfa_deref_sp,  // CFA = *(sp + deref_offset) + cfa_offset
  cfa_deref_bp,  // CFA = *(bp + deref_offset) + cfa_offset: realigned stacks
  signal_frame,  // the kernel's rt_sigframe: registers from the ucontext at sp
  outermost,     // the unwind information says that there is no caller
  no_info,       // no unwind information: try the frame pointer
  complex,       // needs registers or expressions that a rule does not hold: slow_walk
};

enum class BpRule : uint8_t {
  unchanged = 0,
  at_cfa,  // *(CFA + bp_offset)
  at_bp,   // *(bp + bp_offset)
};

class UnwindRule {
 public:
  constexpr UnwindRule() = default;
  explicit constexpr UnwindRule(uint64_t word) : word_(word) {}
  explicit constexpr UnwindRule(RuleKind kind) : word_(static_cast<uint64_t>(kind) << 60) {}

  // `complex` where an offset does not fit. deref_offset: or return_offset.
  static constexpr UnwindRule make(RuleKind kind, int64_t cfa_offset, int64_t deref_offset, BpRule bp,
                                   int64_t bp_offset) {
    constexpr int64_t kLimit = 1 << 15;
    if constexpr (kHasLinkRegister) {
      if (bp == BpRule::unchanged) return make_wide(kind, cfa_offset, bp, deref_offset);
      if (bp == BpRule::at_cfa && deref_offset == bp_offset + 8) return make_wide(kind, cfa_offset, kPair, bp_offset);
    }
    if (cfa_offset < -kCfaLimit || cfa_offset >= kCfaLimit || deref_offset < -kLimit || deref_offset >= kLimit ||
        bp_offset < -kLimit || bp_offset >= kLimit) {
      return UnwindRule(RuleKind::complex);
    }
    return UnwindRule((static_cast<uint64_t>(kind) << 60) | (static_cast<uint64_t>(bp) << 58) |
                      ((static_cast<uint64_t>(cfa_offset) & 0x3ff'ffff) << 32) |
                      ((static_cast<uint64_t>(bp_offset) & 0xffff) << 16) |
                      (static_cast<uint64_t>(deref_offset) & 0xffff));
  }

  constexpr uint64_t word() const { return word_; }
  constexpr RuleKind kind() const { return static_cast<RuleKind>(word_ >> 60); }
  constexpr BpRule bp() const {
    const BpRule bp = bits_of_bp();
    return kHasLinkRegister && bp == kPair ? BpRule::at_cfa : bp;
  }
  constexpr int64_t cfa_offset() const { return static_cast<int64_t>(word_ << 6) >> 38; }
  constexpr int64_t bp_offset() const {
    return kHasLinkRegister && bits_of_bp() == kPair ? static_cast<int32_t>(word_) : static_cast<int16_t>(word_ >> 16);
  }
  constexpr int64_t deref_offset() const { return static_cast<int16_t>(word_); }
  // Where there is a link register (machine.h): the return address is at *(CFA + return_offset), or in that register.
  constexpr int64_t return_offset() const {
    if (bits_of_bp() == BpRule::unchanged) return static_cast<int32_t>(word_);
    return bits_of_bp() == kPair ? bp_offset() + 8 : static_cast<int16_t>(word_);
  }
  constexpr bool returns_by_link() const { return return_offset() == kInLink; }
  static constexpr int64_t kInLink = 0;  // at the CFA itself the caller's frame begins

 private:
  static constexpr int64_t kCfaLimit = int64_t{1} << 25;
  static constexpr BpRule kPair = static_cast<BpRule>(3);

  static constexpr UnwindRule make_wide(RuleKind kind, int64_t cfa_offset, BpRule bp, int64_t offset) {
    if (cfa_offset < -kCfaLimit || cfa_offset >= kCfaLimit || offset != static_cast<int32_t>(offset)) {
      return UnwindRule(RuleKind::complex);
    }
    return UnwindRule((static_cast<uint64_t>(kind) << 60) | (static_cast<uint64_t>(bp) << 58) |
                      ((static_cast<uint64_t>(cfa_offset) & 0x3ff'ffff) << 32) | static_cast<uint32_t>(offset));
  }
  constexpr BpRule bits_of_bp() const { return static_cast<BpRule>((word_ >> 58) & 3); }

  uint64_t word_ = 0;
};

}  // namespace prof
