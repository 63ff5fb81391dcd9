// Where the rule of a code address comes from, as chosen at the start. Signal-safe.
#pragma once

#include "core/unwind/rule_from_tables.h"
#include "core/unwind/unwind.h"

namespace prof {

// pc, lookup: as for rule_from_tables().
RuleOfRange rule_from_source(uint64_t pc, uint64_t lookup);

// Why a stack ends where there is no rule and no usable frame pointer.
StackEnd end_without_rule();

// Once, in normal code. own_code: read by its tables even where the program's is not.
void rule_source_start(CodeRange own_code, Unwinder unwinder);

}  // namespace prof
