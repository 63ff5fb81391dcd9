// What the program sees of SIGPROF while libprof uses it. Signal-safe, as the calls are that it stands for.
//
// libprof's handler stays in place whatever the program sets, since a late tick must neither kill it nor come to a handler of its own.
// What is not libprof's (by kill, setitimer, a timer of the program's) is given to the program as it has set it: to its handler, to
// nobody, or it ends the program. To ignore the signal or to reset it to its default (daemons reset every signal) does not end sampling.
// To handle it is the program's right: sampling ends, once for all, with one warning, and the handler runs with the flags and the mask
// that it was given.
#pragma once

#include <signal.h>

#include "preload/real_symbols.h"

namespace prof {

// Whether libprof's handler is in place (in this process, not in one that shares its memory for a moment: vfork).
bool sigprof_is_ours();

// sigaction(SIGPROF, action, before), as the program sees it.
int set_sigprof_view(const struct sigaction* action, struct sigaction* before);

// What was set when libprof took the signal.
void sigprof_view_begins(const struct sigaction& action);
bool program_handles_sigprof();
bool program_reads_sigprof();

// A signal that the program ignores is ignored by the program that takes its place. In a child of vfork too.
bool program_ignores_sigprof();  // where ours stands for that
void sigprof_before_exec();
void sigprof_after_exec();  // it failed

// In libprof's handler, last: a SIGPROF that is the program's. Does not return where it ends the program.
void give_sigprof_to_program(int number, siginfo_t* info, void* context);

// The program is about to read the signals of this set from a descriptor. If SIGPROF is among them, by name or along with all others,
// sampling ends: such a descriptor shows a tick that a thread has blocked, and without SIGPROF it would not show the program's own.
void program_reads_from_descriptor(const sigset_t* set);

// A mask to wait with, with SIGPROF where that is used to sample: a tick, pending or to come, is not what the program waits for.
class MaskWithSigprof {
 public:
  explicit MaskWithSigprof(const sigset_t* mask);
  const sigset_t* mask() const { return mask_; }

 private:
  const sigset_t* mask_;
  sigset_t copy_;
};

}  // namespace prof
