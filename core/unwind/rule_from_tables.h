// Works out the rule of a code address from its object's unwind tables (.eh_frame), and for which other addresses it holds.
// Signal-safe: no lock, no allocation, under 2 KB of stack; about 0.5 us.
#pragma once

#include <cstdint>

#include "core/unwind/code_bytes.h"
#include "core/unwind/unwind_rule.h"

namespace prof {

struct RuleOfRange {
  UnwindRule rule;
  uint64_t start = 0;  // it holds for lookup addresses in [start, end), and for the one asked for where that is empty
  uint64_t end = 0;
};

// pc: the exact address of an interrupted instruction, or a return address; lookup: the address that is looked up for it
// (core/base/address.h).
RuleOfRange rule_from_tables(uint64_t pc, uint64_t lookup);

// The same in an object that the caller knows: bytes are of it.
RuleOfRange rule_in_object(CodeBytes* bytes, uint64_t pc, uint64_t lookup);

}  // namespace prof
