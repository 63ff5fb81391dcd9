// The rule of aarch64's procedure linkage stubs (.plt), for which linkers write no unwind information there. A sample falls into one now
// and then, as a function of another library is called. Known by its instructions. Signal-safe; reads by the kernel's copying.
#pragma once

#include "core/unwind/code_bytes.h"
#include "core/unwind/unwind_rule.h"

namespace prof {

// pc: of an interrupted instruction, in the object of `bytes`. no_info: it is none.
UnwindRule rule_in_linkage_stub(CodeBytes* bytes, uint64_t pc);

}  // namespace prof
