// interrupted_at.h says what these are.
  .text

// tgkill(process, thread, signal): the signal comes as the call returns, right behind it. Keeps all but x0 and x8.
.macro interrupt
  mov x0, x9
  mov x8, #131
  svc #0
.endm

.macro each name, sign
  .globl \name
  .type \name, %function
\name:
  .cfi_startproc
  .if \sign
  hint #25  // paciasp
  .cfi_negate_ra_state
  .endif
  mov x9, x0
  interrupt
  stp x29, x30, [sp, #-32]!
  .cfi_def_cfa_offset 32
  .cfi_offset 29, -32
  .cfi_offset 30, -24
  interrupt
  mov x29, sp
  interrupt
  ldp x29, x30, [sp]
  .cfi_restore 29
  .cfi_restore 30
  interrupt
  add sp, sp, #32
  .cfi_def_cfa_offset 0
  interrupt
  .if \sign
  hint #29  // autiasp
  .cfi_negate_ra_state
  .endif
  ret
  .cfi_endproc
  .size \name, . - \name
.endm

  each each_instruction, 0
  each each_instruction_signed, 1

.macro load_and_branch
  adrp x16, interrupted_slot
  ldr x17, [x16, #:lo12:interrupted_slot]
  add x16, x16, #:lo12:interrupted_slot
  br x17
.endm

  .globl like_linkage_stub
  .type like_linkage_stub, %function
like_linkage_stub:
  load_and_branch
  .size like_linkage_stub, . - like_linkage_stub

  .globl like_first_stub
  .type like_first_stub, %function
like_first_stub:
  stp x16, x30, [sp, #-16]!
  load_and_branch
  .size like_first_stub, . - like_first_stub

  .globl after_first_stub
  .type after_first_stub, %function
after_first_stub:
  ldp x16, x30, [sp], #16
  ret
  .size after_first_stub, . - after_first_stub

  .globl without_information
  .type without_information, %function
without_information:
  stp x29, x30, [sp, #-48]!
  mov x29, sp
  blr x0
  ldp x29, x30, [sp], #48
  ret
  .size without_information, . - without_information

  .globl with_link_forgotten
  .type with_link_forgotten, %function
with_link_forgotten:
  .cfi_startproc
  str x30, [sp, #-16]!
  .cfi_def_cfa_offset 16
  blr x0
  ldr x30, [sp], #16
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size with_link_forgotten, . - with_link_forgotten

  .globl with_other_base
  .type with_other_base, %function
with_other_base:
  .cfi_startproc
  stp x19, x30, [sp, #-16]!
  .cfi_def_cfa_offset 16
  .cfi_offset 19, -16
  .cfi_offset 30, -8
  mov x19, sp
  .cfi_def_cfa_register 19
  blr x0
  .cfi_def_cfa_register 31
  ldp x19, x30, [sp], #16
  .cfi_def_cfa_offset 0
  .cfi_restore 19
  .cfi_restore 30
  ret
  .cfi_endproc
  .size with_other_base, . - with_other_base

  .data
  .globl interrupted_slot
  .balign 65536
interrupted_slot:
  .skip 65536

  .section .note.GNU-stack, "", %progbits
