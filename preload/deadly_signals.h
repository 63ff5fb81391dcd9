// Signals whose default is the process's end: the profiles are written first, then comes that end, with the status and the core dump that it
// would have had. Ours is installed only where the default is in place, and what the program sees there is the default.
//
// Signal-safe where not said otherwise, as the calls are that it stands for.
#pragma once

#include <signal.h>

#include <cstdint>

namespace prof {

// When every other handler of libprof's is in place. Normal code, but for a helper thread's. Once: while the process starts, or, in a
// program that runs, where there is something to be written for the first time; it may have threads then, which set handlers meanwhile.
void deadly_signals_start();
void deadly_signals_start_late();

// A signal that the program has the default for has come to a handler of libprof's that is there for something else, and all signals are
// blocked: what an end by it takes. It is pending when this returns, and context, the handler's, lets it in.
void deadly_signal_has_come(int number, siginfo_t* info, ucontext_t* context);
// libprof has used this one for something else and does so no more: if the program sets the default again, ours comes in its place.
void deadly_signal_is_free(int number);

// In a child of fork: nothing has hit it yet.
void deadly_signals_forget();

// sigaction(), for any signal: to reset one of these puts ours back; a handler that is to be called once has ours before it.
int set_action(int number, const struct sigaction* action, struct sigaction* before);

// Whether the program's default stands behind this signal now, and ours in its place. Then, or where the program ignores it: ours.
bool deadly_signal_is_ours(int number);
void deadly_signal_take(int number);
// Where it is ours: the kernel's default, for good.
void deadly_signal_leave(int number);

// After on_alternate_stack() has changed: ours on the other stack.
void deadly_signals_handle_again();

// The end that came while the exit's writing went on, if any did.
void die_of_deferred();

// Whether a processor's exception sends it, as a rule.
bool is_fault_signal(int number);

// Those that would end the process now: bit N - 1 for signal N.
uint64_t deadly_signals_now();

// All of them back to what the program has set, for good: a process that gives up the system calls needed here.
void deadly_signals_leave();

}  // namespace prof
