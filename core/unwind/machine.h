// What of unwinding depends on the machine, in one header for each: the registers that rules know, where a call leaves the return
// address, what a signal's frame looks like. Values only; signal-safe. Everything else in this folder is the same for all machines,
// but for what rests on libunwind (kHasLibunwind).
//
// Each header defines the same names:
//   kDwarfBp, kDwarfSp, kDwarfPc           the numbers of the frame pointer, the stack pointer and the program counter
//   kAddressBits, kLastWord                how far a process's addresses go; the last of its words
//   kHasLibunwind                          there is a libunwind for what no rule holds; else a stack ends there, with a marker
//   kHasLinkRegister                       a call leaves the return address in a register, and the called function saves it where it
//                                          likes; else it lies at CFA + kReturnAddressAtCfa
//   kHasNegateRaState                      that call frame instruction is known: it says nothing of where anything is, and has no operand
//   without_signature()                    a return address without what pointer authentication adds to it
//   kSignalReturn                          the code that a signal's frame returns to: its system call
//   kSignalReturnMayBeAnywhere             it need not be in an object that the loader knows
//   kSignalContext                         where that frame's ucontext is, behind the stack pointer
//   kContextPc, -Sp, -Bp, -Link            where in a ucontext those registers are
//   kRecordAboveFrame                      a frame pointer points to the end of its frame: the caller's sp is right above the two words
//   ReturnPlace                            where a frame's return address was read, as far as its CFA does not say it
//   CalleeSaved                            what a function's caller may rely on, and where the function is: enough to walk on from it
//   link_of()                              the link register among those, 0 for none
#pragma once

#include <signal.h>

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include "core/unwind/machine_x86_64.h"
#elif defined(__aarch64__)
#include "core/unwind/machine_aarch64.h"
#else
#error "libprof unwinds x86-64 and aarch64 only"
#endif

namespace prof {

// offset: kContextPc and its like.
inline uint64_t word_of_context(const ucontext_t& context, uint64_t offset) {
  uint64_t word;
  memcpy(&word, reinterpret_cast<const char*>(&context) + offset, sizeof(word));
  return word;
}

}  // namespace prof
