// What a DWARF expression comes to in a frame whose registers are not known: a sum of one of them, or of what lies in memory there,
// and a constant. Signal-safe; bounded.
//
// Source: DWARF 5, 2.5 and 7.7.1.
#pragma once

#include <cstdint>

#include "core/unwind/frame_entry.h"

namespace prof {

struct ExpressionValue {
  enum class Of : uint8_t {
    unknown,  // something else
    constant,
    sp,            // sp + offset
    bp,            // bp + offset
    memory_at_sp,  // *(sp + inner) + offset
    memory_at_bp,  // *(bp + inner) + offset
  };
  Of of = Of::unknown;
  int64_t offset = 0;
  int64_t inner = 0;
};

// pc: the frame's, for expressions that ask for it (a PLT's): the value holds for this address alone then, and *depends_on_pc is set.
ExpressionValue value_of_expression(CodeBytes* bytes, const ByteRange& expression, uint64_t pc, bool* depends_on_pc);

}  // namespace prof
