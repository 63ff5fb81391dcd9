// Works out the rule of one code address, by libunwind. Signal-safe: libunwind runs without its caches (they lock) and
// with unwind_object_pool.cc in the place of its own pool (which locks); about 2 us. x86-64 only (machine.h: kHasLibunwind).
//
// libunwind's public interface gives no rules, only the next frame. So it is asked for the next frame of a stack of
// symbols: sp and bp hold values that cannot be addresses, each read of the stack answers with a fresh symbol that
// remembers where it was read, and what libunwind then calls the caller's sp, bp and pc tells which read and which sum they
// are. No stack is touched; the only memory read is the code object's unwind information.
#pragma once

#include "core/unwind/unwind_rule.h"

namespace prof {

// pc: the exact address of an interrupted instruction, or a return address; lookup: the address that is looked up for it
// (core/base/address.h).
UnwindRule rule_from_libunwind(uint64_t pc, uint64_t lookup);

// Makes libunwind's address space. Once, in normal code.
void rule_from_libunwind_start();

}  // namespace prof
