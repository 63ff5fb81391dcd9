// A frame in numbers: what a table, or a rule, makes of registers and a memory whose contents are made up. Two descriptions that come
// to the same numbers say the same: what is made up are 64-bit hashes.
#pragma once

#include <elfutils/libdw.h>

#include <cstddef>
#include <cstdint>

#include "core/unwind/unwind_rule.h"

namespace prof::oracle {

struct Value {
  uint64_t number = 0;
  uint32_t registers = 0;  // that it was made of, a bit each
  unsigned reads = 0;      // of memory, one after the other
  bool is_known = false;   // false: by an operation that is not known here
};

// A register of the caller.
struct CallerRegister {
  enum class Where { undefined, in_memory, in_register, computed };
  Where where = Where::undefined;
  bool is_at_cfa = false;  // in memory, at a constant distance from the CFA
  Value address;           // in memory
  Value value;
};

struct CallerFrame {
  bool is_refused = false;  // by libdw, as invalid
  Value cfa;
  CallerRegister bp;
  CallerRegister sp;
  CallerRegister return_address;
};

// The made-up contents.
uint64_t register_value(unsigned number);
uint64_t memory_value(uint64_t address);

// A frame by libdw. pc: what the register of that name holds.
CallerFrame frame_of_table(Dwarf_Frame* frame, uint64_t pc);

// What a rule gives. Of signal_frame: what the kernel saved. Only kinds that give a caller.
struct RuleResult {
  uint64_t cfa = 0;
  uint64_t bp = 0;
  uint64_t return_address = 0;
};
RuleResult result_of_rule(UnwindRule rule);

}  // namespace prof::oracle
