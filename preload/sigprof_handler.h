// The place of SIGPROF's handler: taken, kept, given up. What libprof's clocks and looks send goes to cpu_sampling, the program's own to
// sigprof_view. Signal-safe where not said otherwise.
#pragma once

#include <signal.h>

namespace prof {

// Installs the handler, which ticks and looks at threads (thread_look.h) need. Normal code. False: another library has SIGPROF (one line
// said).
bool sigprof_take();
// Whether SIGPROF is used to sample.
bool sigprof_is_used();
// From here on it is not: who calls this ends what samples. False: it was not.
bool sigprof_give_up();

// Whether SIGPROF's handler is ours in this process, be it only that the program's own one does not see a late tick.
bool sigprof_is_handled();
// The same as the kernel has it, also in a child that shares this process's memory and may have set another (vfork).
bool sigprof_handler_is_in_place();
// Sets this handler again, with the flags and the mask of the program's.
void sigprof_handle_as(const struct sigaction& action);
// Sets it as ever, where the program has none: something it depends on has changed.
void sigprof_handle_again();

// Sends one of the program's again, to whom it was sent.
void send_sigprof_again(siginfo_t* info);
// Drops what libprof's clocks have left pending in the calling thread. True: one of the program's was pending too, and is again.
bool drop_pending_ticks();

// In a child of fork: the handler is still in place.
void sigprof_forked();
// After the last stop: SIGPROF is ignored, unless the program handles it. Never default: a late signal would kill the host.
void sigprof_leave();

}  // namespace prof
