// machine.h says what these are. System V Application Binary Interface, AMD64 Architecture Processor Supplement: figure 3.36 (the
// registers' numbers), 3.2.2 (the frame).
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>

namespace prof {

inline constexpr uint64_t kDwarfBp = 6;
inline constexpr uint64_t kDwarfSp = 7;
inline constexpr uint64_t kDwarfPc = 16;
inline constexpr unsigned kAddressBits = 47;
inline constexpr uint64_t kLastWord = 0x7fff'ffff'fff8;
inline constexpr bool kHasLibunwind = true;

inline constexpr bool kHasLinkRegister = false;
inline constexpr int64_t kReturnAddressAtCfa = -8;
inline constexpr bool kHasNegateRaState = false;
constexpr uint64_t without_signature(uint64_t return_address) { return return_address; }
inline constexpr bool kRecordAboveFrame = true;

// mov $15, %rax; syscall: in every libc (gdb knows it by these bytes too), which the kernel leaves it to.
inline constexpr uint8_t kSignalReturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
inline constexpr uint64_t kSignalReturnFirstBytes = 7;  // of its first instruction
inline constexpr bool kSignalReturnMayBeAnywhere = false;
// The kernel's struct rt_sigframe behind its return address: the ucontext is the first in it.
inline constexpr uint64_t kSignalContext = 0;
inline constexpr uint64_t kContextPc = offsetof(ucontext_t, uc_mcontext.gregs) + REG_RIP * sizeof(greg_t);
inline constexpr uint64_t kContextSp = offsetof(ucontext_t, uc_mcontext.gregs) + REG_RSP * sizeof(greg_t);
inline constexpr uint64_t kContextBp = offsetof(ucontext_t, uc_mcontext.gregs) + REG_RBP * sizeof(greg_t);
inline constexpr uint64_t kContextLink = 0;  // there is none

struct ReturnPlace {
  static constexpr ReturnPlace of(uint64_t /*cfa*/, int64_t /*return_offset*/) { return {}; }
  static constexpr uint64_t address(uint64_t cfa) { return cfa + static_cast<uint64_t>(kReturnAddressAtCfa); }
};

// With those that libunwind's stepping may ask for.
struct CalleeSaved {
  uint64_t pc, sp, bp, bx, r12, r13, r14, r15;
};
constexpr uint64_t link_of(const CalleeSaved& /*here*/) { return 0; }

}  // namespace prof
