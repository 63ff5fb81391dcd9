// Runs a function one instruction at a time and unwinds at each: what capture() says is compared with a shadow stack, which knows
// nothing of unwind tables. In-process: the processor's trap flag, and a handler of SIGTRAP that is handed the registers.
//
// The shadow stack. An instruction that is a call by its bytes, after which sp is 8 lower and points to an address right behind that
// instruction, has pushed a return address. It is one as long as sp is not above it: that holds for returns, for jumps out of several
// frames, for tail calls.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/address.h"

namespace prof {

enum class Way {
  cold,       // capture(), the cache of rules being emptied before each
  warm,       // capture() by what is cached of the instructions before
  memo,       // capture() along the thread's last walk, which was of the instruction before
  libunwind,  // capture() by rules of libunwind
};

struct WrongStack {
  Way way;
  StackEnd end;
  uint64_t pc;
  std::string leaf;      // object and offset
  std::string expected;  // the same of the frames, leaf first
  std::string found;
};

struct Stepped {
  uint64_t instructions = 0;
  uint64_t in_loader = 0;  // of them
  uint64_t stacks = 0;
  uint64_t wrong = 0;
  std::vector<WrongStack> examples;  // the wrong ones, the first few thousand of them
};

// Once a process, in normal code.
void stepper_start();

enum class Ways {
  each_at_every_instruction,  // three times through the function
  cold_now_and_then,          // warm and memo at every instruction
};

// Each instruction of function(), and of what it calls.
Stepped step_through(void (*function)(), Ways ways);

// For a signal handler that is to be stepped through: the kernel clears the trap flag there. First note_handler(), with
// __builtin_frame_address(0) of the handler, then set_trap_flag() in the handler itself.
void note_handler(const void* frame, const ucontext_t* interrupted);
// The nop is the instruction that no trap comes before: it might be a call, which would be missed.
__attribute__((always_inline)) inline void set_trap_flag() {
  asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" : : : "memory", "cc");
}

}  // namespace prof
