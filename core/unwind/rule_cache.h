// Rules by code address, for the whole process. Signal-safe and lock-free: fixed memory, a torn or lost entry is a miss.
//
// A line holds what is known of one block of 256 bytes of code: up to five ranges of addresses in it, each with its rule. So a function's
// addresses share few lines, and an address that was never seen is known by its neighbours.
//
// rule_cache_forget() is for normal code: after a library went, its addresses may come back as other code. A line's key has the
// generation it was stored in; a later generation does not see it.
#pragma once

#include <cstdint>

#include "core/unwind/unwind_rule.h"

namespace prof {

// The present generation. Read it before a rule is worked out, and store the rule under what was read: a rule that was
// derived from a library that went meanwhile is then never found.
uint32_t rule_cache_generation();
UnwindRule rule_cache_find(uint64_t address, uint32_t generation);
// For addresses in [start, end), of which the block of `address` is kept. address: within.
void rule_cache_store(uint64_t address, uint64_t start, uint64_t end, uint32_t generation, UnwindRule rule);
void rule_cache_forget();

}  // namespace prof
