// What the kernel's signal frame returns to. Signal-safe.
#pragma once

#include "core/unwind/code_bytes.h"

namespace prof {

// mov $15, %rax; syscall: in every libc (gdb knows it by these bytes too). pc: of either of the two, at both of which sp points to the
// signal's context. Copied by the kernel: a word of a stack that is no return address may point into a hole between an object's
// segments.
inline bool is_signal_return(CodeBytes* bytes, uint64_t pc) {
  constexpr uint8_t kCode[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  constexpr uint64_t kMovBytes = 7;
  uint8_t code[sizeof(kCode)] = {};
  if (bytes->read_copy(pc, code, sizeof(code)) && memcmp(code, kCode, sizeof(kCode)) == 0) return true;
  if (memcmp(code, kCode + kMovBytes, sizeof(kCode) - kMovBytes) != 0) return false;
  return bytes->read_copy(pc - kMovBytes, code, sizeof(code)) && memcmp(code, kCode, sizeof(kCode)) == 0;
}

}  // namespace prof
