// PROF_SIGNAL: the signal that asks for a snapshot, and what the program sees of it: nothing. It is the program's as soon as the
// program handles it or waits for it: no snapshots from then on, and one warning where the signal was asked for.
#pragma once

#include <signal.h>

namespace prof {

// wanted: called in the handler, or in normal code where the signal was found pending; signal-safe. number 0: none. is_asked_for: not by
// default alone. Normal code, once.
void snapshot_signal_start(int number, bool is_asked_for, void (*wanted)());

// Whether this is the signal, and still ours.
bool is_snapshot_signal(int number);

// What sigaction() does for it: the program's setting is noted and shown again; a handler of its own takes the signal over.
int set_snapshot_signal_view(const struct sigaction* action, struct sigaction* before);

// The program waits for these signals by sigwait, signalfd and their kin.
void program_waits_for(const sigset_t* set);

// Around an exec: a program that ignores the signal hands that on to what it executes. Signal-safe; in a child of vfork too.
bool program_ignores_snapshot_signal();  // where ours stands for that
void snapshot_signal_before_exec();
void snapshot_signal_after_exec();  // it failed

// Sets the handler as ever: something it depends on has changed (preload/alternate_stack.h).
void snapshot_signal_handle_again();

// Takes the signal if it has been pending for a while, because every thread blocks it. Two system calls at most, and none where this
// thread has looked since the kernel's last tick. Signal-safe.
void poll_snapshot_signal();

}  // namespace prof
