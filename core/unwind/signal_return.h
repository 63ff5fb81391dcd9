// What the kernel's signal frame returns to. Signal-safe.
#pragma once

#include "core/unwind/code_bytes.h"
#include "core/unwind/machine.h"

namespace prof {

// pc: of either of its two instructions, at both of which sp points to the signal's context. Copied by the kernel: a word of a stack that
// is no return address may point into a hole between an object's segments.
inline bool is_signal_return(CodeBytes* bytes, uint64_t pc) {
  uint8_t code[sizeof(kSignalReturn)] = {};
  if (bytes->read_copy(pc, code, sizeof(code)) && memcmp(code, kSignalReturn, sizeof(code)) == 0) return true;
  constexpr uint64_t kFirst = kSignalReturnFirstBytes;
  if (memcmp(code, kSignalReturn + kFirst, sizeof(code) - kFirst) != 0) return false;
  return bytes->read_copy(pc - kFirst, code, sizeof(code)) && memcmp(code, kSignalReturn, sizeof(code)) == 0;
}

// The same of an address in no object. bytes: of none so far.
inline bool is_signal_return_anywhere(CodeBytes* bytes, uint64_t pc) {
  if (!kSignalReturnMayBeAnywhere) return false;
  bytes->set_object({pc - kSignalReturnFirstBytes, pc + sizeof(kSignalReturn), 0});
  return is_signal_return(bytes, pc);
}

}  // namespace prof
