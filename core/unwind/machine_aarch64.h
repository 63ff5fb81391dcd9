// machine.h says what these are. DWARF for the Arm 64-bit Architecture (AADWARF64), 4.1 (the registers' numbers) and 4.4 (pointer
// authentication); Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), 6.4.6 (the frame record).
//
// A frame is a little different from x86-64's. A call (bl) leaves the return address in x30, the link register. A function that calls
// others saves it, mostly as a pair with x29, the frame pointer: at the low end of its frame, so that x29 says nothing of where the
// frame ends. In any other frame than the one interrupted x30 is what somebody else left there, and not believed.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>

namespace prof {

inline constexpr uint64_t kDwarfBp = 29;
inline constexpr uint64_t kDwarfSp = 31;
inline constexpr uint64_t kDwarfPc = 32;
// Larger ones (52 bits) are given only to who asks mmap for them.
inline constexpr unsigned kAddressBits = 48;
inline constexpr uint64_t kLastWord = 0xffff'ffff'fff8;
inline constexpr bool kHasLibunwind = false;

inline constexpr bool kHasLinkRegister = true;
inline constexpr int64_t kReturnAddressAtCfa = 0;  // there is no such place
inline constexpr bool kHasNegateRaState = true;
// The signature is in the bits above an address; for a process's own (bit 55 is 0) they are 0 without it.
constexpr uint64_t without_signature(uint64_t return_address) {
  return return_address & ((uint64_t{1} << kAddressBits) - 1);
}
inline constexpr bool kRecordAboveFrame = false;

// mov x8, #139; svc #0: in the vDSO, in musl, or in a page that is no object's (qemu-user's).
inline constexpr uint8_t kSignalReturn[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
inline constexpr uint64_t kSignalReturnFirstBytes = 4;  // of its first instruction
inline constexpr bool kSignalReturnMayBeAnywhere = true;
// The kernel's struct rt_sigframe: siginfo, ucontext.
inline constexpr uint64_t kSignalContext = 128;
inline constexpr uint64_t kContextPc = offsetof(ucontext_t, uc_mcontext.pc);
inline constexpr uint64_t kContextSp = offsetof(ucontext_t, uc_mcontext.sp);
inline constexpr uint64_t kContextBp = offsetof(ucontext_t, uc_mcontext.regs) + 29 * sizeof(uint64_t);
inline constexpr uint64_t kContextLink = offsetof(ucontext_t, uc_mcontext.regs) + 30 * sizeof(uint64_t);
static_assert(sizeof(siginfo_t) == kSignalContext);

struct ReturnPlace {
  uint64_t at = 0;

  static constexpr ReturnPlace of(uint64_t cfa, int64_t return_offset) {
    return {cfa + static_cast<uint64_t>(return_offset)};
  }
  constexpr uint64_t address(uint64_t /*cfa*/) const { return at; }
};

struct CalleeSaved {
  uint64_t pc, sp, bp, lr;
};
constexpr uint64_t link_of(const CalleeSaved& here) { return here.lr; }

}  // namespace prof
