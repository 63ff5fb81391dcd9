// syscall(): the next definition, with a look at the number. It is jumped to, with every register and the stack as they came: a child that is
// made by it must not find a frame of ours. Each push is said to the unwinder: a tick may come behind any.

#include <linux/seccomp.h>

#include "preload/real_symbols.h"
#include "preload/ring_waits.h"
#include "preload/system_call_filter.h"

extern "C" {
__attribute__((visibility("hidden"), used)) void prof_before_seccomp(unsigned operation, unsigned,
                                                                     const void* program) {
  if (operation == SECCOMP_SET_MODE_STRICT) prof::before_system_call_filter(SECCOMP_MODE_STRICT, nullptr);
  if (operation == SECCOMP_SET_MODE_FILTER) prof::before_system_call_filter(SECCOMP_MODE_FILTER, program);
}
__attribute__((visibility("hidden"), used)) void prof_before_ring_enter(unsigned waits_for, unsigned flags) {
  prof::before_ring_enter(waits_for, flags);
}
__attribute__((visibility("hidden"), used)) void* prof_next_syscall() {
  return reinterpret_cast<void*>(prof::real::syscall());
}
}

asm(R"(
  .text
  .globl syscall
  .type syscall, @function
syscall:
  .cfi_startproc
  push %rax
  .cfi_adjust_cfa_offset 8
  push %rdi
  .cfi_adjust_cfa_offset 8
  push %rsi
  .cfi_adjust_cfa_offset 8
  push %rdx
  .cfi_adjust_cfa_offset 8
  push %rcx
  .cfi_adjust_cfa_offset 8
  push %r8
  .cfi_adjust_cfa_offset 8
  push %r9
  .cfi_adjust_cfa_offset 8
  cmp $317, %rdi  # seccomp
  jne 1f
  mov %rsi, %rdi
  mov %rdx, %rsi
  mov %rcx, %rdx
  call prof_before_seccomp
  jmp 2f
1:
  cmp $426, %rdi  # io_uring_enter
  jne 2f
  mov %rcx, %rdi
  mov %r8, %rsi
  call prof_before_ring_enter
2:
  call prof_next_syscall
  mov %rax, %r11
  pop %r9
  .cfi_adjust_cfa_offset -8
  pop %r8
  .cfi_adjust_cfa_offset -8
  pop %rcx
  .cfi_adjust_cfa_offset -8
  pop %rdx
  .cfi_adjust_cfa_offset -8
  pop %rsi
  .cfi_adjust_cfa_offset -8
  pop %rdi
  .cfi_adjust_cfa_offset -8
  pop %rax
  .cfi_adjust_cfa_offset -8
  jmp *%r11
  .cfi_endproc
  .size syscall, . - syscall
)");
