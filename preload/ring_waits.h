// io_uring_enter, the one call whose wait a tick of ours ends: the kernel does a thread's deferred work within it, that of a CPU timer that
// fell due on the way there too, and the signal of that timer ends the wait with EINTR (1 of 10 000 that follow computing at once, at
// 100 ticks a second). It cannot be restarted by the kernel. So it is made again here, where nothing but the tick can have ended it.
//
//   that it was this call    the registers: those of a system call's return, with this call's arguments, of a ring (it is asked)
//   that it was the tick     no handler of the program's has run since the call returned, nor is about to. One that has would stand between
//                            these registers and the tick, but where it blocks SIGPROF and the tick was pending meanwhile: in a program that
//                            has ever set one that does, the wait is left to end. Where that one also has an instruction of its own for
//                            the call (ring_instructions.h, or a tick has met it), no tick falls due in it from then on: all threads
//                            tick in user mode only.
//
// What nothing tells: that the tick fell due within the 1 us in which a handler returns to the kernel. Then an EINTR is lost that was the
// handler's, as if its signal had come just before the call: of signals whose handler takes a thread's very first tick 28 of 100 000. It is
// the only tick of a thread that may meet it here. (Left to end where the program handles signals, one wait of a thread was ended in every
// third run of fio, which then did a twentieth less, and said nothing.)
//
// A limit of time that is relative begins again: twice that long the wait may last, then it is left to end. A call that has also submitted
// answers how many, and comes back early: nothing tells it from one whose wait was over. So a thread that was seen in this call, or is about to
// make it by syscall() or liburing's library (ring_calls.h), has its ticks in user mode only, from then on: no timer falls due in a call any
// more (thread_clock.h, thread_look.h).
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "core/record/thread_table.h"

namespace prof {

// In the SIGPROF handler: whether the thread is at the return of this call, waited for or not. Signal-safe.
bool is_ring_wait(const ucontext_t& context);
// There, last, of a signal of libprof's: the context goes on with the call, and the slot has it that the thread makes such calls. slot: the
// thread's, or null. Signal-safe.
void go_on_with_ring_wait(ThreadSlot* slot, ucontext_t* context);

// The program is about to set this handler. Those that signal() and its like set block no other signal than their own. Signal-safe.
void handler_comes(int number, const struct sigaction& action);
// One of the program's handlers has SIGPROF in its mask by libprof (handler_masks.h). Signal-safe.
void ticks_are_blocked_by_handler();
// Where there is such a handler and SIGPROF is used to sample: looks once, whether the program has instructions for the call. Signal-safe.
void keep_ticks_out_of_ring_waits();

// The calling thread is about to call io_uring_enter with these arguments. Signal-safe.
void before_ring_enter(unsigned waits_for, unsigned flags);

}  // namespace prof
