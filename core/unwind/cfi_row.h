// The row of an entry's call frame table that holds at an address. Signal-safe; bounded: at most kMaxInstructions.
//
// Source: DWARF 5, 6.4 (call frame information); Linux Standard Base, Core 5.0, 10.5 (what .eh_frame adds).
#pragma once

#include <cstdint>

#include "core/unwind/frame_entry.h"

namespace prof {

// How a register of the caller is found.
struct RegisterRule {
  enum class How : uint8_t {
    unchanged,      // also where nothing is said of it
    undefined,      // it has no value: of the return address, there is no caller
    at_cfa,         // *(CFA + offset)
    at_expression,  // *(expression)
    otherwise,      // any other way
  };
  How how = How::unchanged;
  int64_t offset = 0;
  ByteRange expression;
};

struct CfiRow {
  ByteRange code;  // where it holds
  bool cfa_is_expression = false;
  uint64_t cfa_register = 0;
  int64_t cfa_offset = 0;
  ByteRange cfa_expression;
  RegisterRule bp;
  RegisterRule sp;
  RegisterRule return_address;
};

inline constexpr unsigned kMaxInstructions = 1 << 16;

// address: within entry.code. False: an instruction that is not known, or too many.
bool find_cfi_row(CodeBytes* bytes, const FrameEntry& entry, uint64_t address, CfiRow* row);

}  // namespace prof
