// A whole stack by libunwind's own stepping, on the real stack with all registers: for stacks with a frame that no rule
// holds (a CFA in another register, as in the first instructions of some main(); expressions of hand-written assembler).
// Signal-safe; about 1 us a frame. x86-64 only (machine.h: kHasLibunwind).
#pragma once

#include <signal.h>

#include "core/unwind/readable_memory.h"
#include "core/unwind/unwind.h"

namespace prof {

// Called for each frame: its exact pc and whether it is a return address. False ends the walk.
using FrameVisitor = bool (*)(void* self, uint64_t pc, bool is_return_address);

// Visits the callers' frames too, leaf first. Answers why the walk ended.
StackEnd slow_walk(const ucontext_t& context, ReadableMemory* memory, FrameVisitor visit, void* self);

// A context of these alone: the stack of who runs is to be walked, not an interrupted one's.
void make_context(const CalleeSaved& here, ucontext_t* context);

// Makes libunwind's address space. Once, in normal code.
void slow_walk_start();

}  // namespace prof
