// Rules by code address, for the whole process. Signal-safe and lock-free: fixed memory, a torn or lost entry is a miss.
//
// rule_cache_forget() is for normal code: after a library went, its addresses may come back as other code. A word of each
// entry's key is the generation it was stored in; a later generation does not see it.
#pragma once

#include <cstdint>

#include "core/unwind/unwind_rule.h"

namespace prof {

// The present generation. Read it before a rule is worked out, and store the rule under what was read: a rule that was
// derived from a library that went meanwhile is then never found.
uint32_t rule_cache_generation();
UnwindRule rule_cache_find(uint64_t address, uint32_t generation);
void rule_cache_store(uint64_t address, uint32_t generation, UnwindRule rule);
void rule_cache_forget();

}  // namespace prof
