// Code addresses and what stands in their place. Signal-safe: values only.
//
// A return address is not an instruction pointer: it may be the first byte of the next function. What is recorded, and
// what symbols are looked up by, is a LookupAddress, which lies inside the instruction it stands for.
#pragma once

#include <cstdint>

namespace prof {

struct LookupAddress {
  uint64_t value;
};

// The program counter of an interrupted thread: the instruction itself.
inline LookupAddress lookup_of_pc(uint64_t pc) { return {pc}; }
// What a call pushed: the call instruction ends right before it.
inline LookupAddress lookup_of_return(uint64_t return_address) { return {return_address - 1}; }

// Frames below this are markers; nothing is ever mapped there (vm.mmap_min_addr, and the null page is never code).
inline constexpr uint64_t kFirstCodeAddress = 4096;

// Why a stack ends before the thread's start. Stored as the last frame; the order is part of the region's layout.
enum class StackEnd : uint64_t {
  complete = 0,        // not stored: the walk reached the thread's start
  too_deep = 1,        // more frames than PROF_STACK_DEPTH
  no_unwind_info = 2,  // code without unwind information, and no usable frame pointer
  unreadable = 3,      // the stack is not readable where the caller should be
  no_progress = 4,     // the next frame is not above this one: a broken or hand-made stack
  lost = 5,            // no stack at all: recorded without one
  unknown_register =
      6,  // the next frame follows from a register that is not known: of a sleeping thread, seen from outside
  no_frame_pointer = 7,  // PROF_UNWIND=fp, where tables are not asked: the code keeps none
};

}  // namespace prof
