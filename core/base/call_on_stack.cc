#include "core/base/call_on_stack.h"

// rbp keeps the way back, so that a debugger's or another profiler's unwinding goes on through this frame.
asm(R"(
  .text
  .globl prof_call_on_stack
  .hidden prof_call_on_stack
  .type prof_call_on_stack, @function
prof_call_on_stack:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register 6
  movq %rdi, %rsp
  movq %rdx, %rdi
  callq *%rsi
  leave
  .cfi_def_cfa 7, 8
  ret
  .cfi_endproc
  .size prof_call_on_stack, .-prof_call_on_stack
)");
