// Handlers of the program's on an alternate stack that is small: no tick comes while one runs. The kernel puts its frame (3.4 KB with AVX-512)
// on the stack that the thread is on, and two of them leave 1 KB of the 8 KB of SIGSTKSZ to the handler. So these handlers have SIGPROF in
// their mask: a tick is pending until they return, and is then counted where they came in between.
//
// The program is not shown it, nor is it handed on to what the program executes. Not with SA_NODEFER, which a handler is set with that is
// left by a jump; and not where the program itself puts SIGPROF into a mask by name, and not with nearly all others: what it is to be shown
// there could not be told any more. Signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>

namespace prof {

// The program is about to set one of so many bytes.
void alternate_stack_comes(size_t bytes);
// It has: this thread's is there now. Null: it has none.
void alternate_stack_is(const stack_t* stack);

// libprof has taken SIGPROF, or given it up.
void handler_masks_follow();

// set_action() of deadly_signals.h, for any signal, with SIGPROF in the mask where the handler may be on a small stack.
int set_handler(int number, const struct sigaction* action, struct sigaction* before);

// pthread_sigmask or sigprocmask (`real`), as the program sees its mask. A handler on a small stack goes on without ticks whatever it
// unblocks; where one was left by a jump, SIGPROF is unblocked again. A thread that blocks SIGPROF by name has no clock meanwhile
// (cpu_sampling.h).
using SetMask = int (*)(int how, const sigset_t* set, sigset_t* before);
int set_thread_mask(SetMask real, int how, const sigset_t* set, sigset_t* before);

// The calling thread's, by the kernel.
uint64_t mask_now();

// Whether a mask has SIGPROF, and not along with nearly all others.
bool blocks_sigprof_by_name(uint64_t mask);

// Whether a thread that has this mask blocks SIGPROF for no other reason than the above. What a program executes, or a thread that is
// made, is to have it unblocked.
bool sigprof_is_kept_out(uint64_t mask);
bool sigprof_is_kept_out_now(sigset_t* mask);  // the calling thread's, which is answered

// Around an exec: the calling thread's is unblocked where it is kept out, and blocked again if it was; and the other way round where libprof
// has unblocked it (unblocked_threads.h).
bool sigprof_let_in();
void sigprof_keep_out();
void sigprof_let_in_again();

}  // namespace prof
