// Where the rule of a code address comes from, as chosen at the start. Signal-safe.
#pragma once

#include "core/unwind/rule_from_tables.h"
#include "core/unwind/unwind.h"

namespace prof {

// pc, lookup: as for rule_from_tables().
RuleOfRange rule_from_source(uint64_t pc, uint64_t lookup);

// Once, in normal code.
void rule_source_start(Unwinder unwinder);

}  // namespace prof
