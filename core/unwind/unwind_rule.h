// How to get from a frame to its caller, as one 64-bit word. Values only; signal-safe.
//
//   63       60 59    58 57                  32 31          16 15           0
//   ┌──────────┬────────┬──────────────────────┬──────────────┬──────────────┐
//   │ kind     │ bp     │ cfa_offset (signed)  │ bp_offset    │ deref_offset │   offsets in bytes
//   └──────────┴────────┴──────────────────────┴──────────────┴──────────────┘
//
// CFA: the value of sp in the caller. The return address is always at CFA - 8 (System V psABI for x86-64, 3.2.2).
#pragma once

#include <cstdint>

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

  // `complex` where an offset does not fit.
  static constexpr UnwindRule make(RuleKind kind, int64_t cfa_offset, int64_t deref_offset, BpRule bp,
                                   int64_t bp_offset) {
    constexpr int64_t kCfaLimit = int64_t{1} << 25;
    constexpr int64_t kLimit = 1 << 15;
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
  constexpr BpRule bp() const { return static_cast<BpRule>((word_ >> 58) & 3); }
  constexpr int64_t cfa_offset() const { return static_cast<int64_t>(word_ << 6) >> 38; }
  constexpr int64_t bp_offset() const { return static_cast<int16_t>(word_ >> 16); }
  constexpr int64_t deref_offset() const { return static_cast<int16_t>(word_); }

 private:
  uint64_t word_ = 0;
};

}  // namespace prof
