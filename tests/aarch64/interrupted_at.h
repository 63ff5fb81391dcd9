// Functions in assembler that are interrupted at known instructions: tests/aarch64/interrupted_at.S. Each sends the calling thread
// `signal` there by a system call of its own, so nothing is called in between. thread: its tid.
#pragma once

extern "C" {

// At five: before x29 and x30 are saved, before x29 points to them, after, when they are restored, and when the frame is gone.
void each_instruction(long process, long thread, long signal);
// The same with the return address signed (pointer authentication).
void each_instruction_signed(long process, long thread, long signal);

// Like a procedure linkage stub, of a function and the first one of all, without unwind information. What they load from
// (interrupted_slot, in a page of its own) can be made unreadable, for a signal just there; it is the function to go on to.
void like_linkage_stub();
void like_first_stub();
void after_first_stub();  // where like_first_stub may go on to
extern void* interrupted_slot[];

// They call back; what their call frame information says of them:
void without_information(void (*call)());  // none; they do keep a frame record
void with_link_forgotten(void (*call)());  // x30 is still what it was, which is not so
void with_other_base(void (*call)());      // the CFA is found by x19
}
