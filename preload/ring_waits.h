// io_uring_enter, the one call whose wait a tick of ours ends: the kernel does a thread's deferred work within it, that of a CPU timer that
// fell due on the way there too, and the signal of that timer ends the wait with EINTR (1 of 10 000 that follow computing at once, at
// 100 ticks a second). It cannot be restarted by the kernel. So it is made again here, where nothing but the tick can have ended it.
//
//   that it was this call    the registers: those of a system call's return, with this call's arguments, of a ring (it is asked)
//   that it was the tick     the program handles no signal that comes from outside. Whether a handler of its has run meanwhile, with SIGPROF in its
//                            mask, could not be told, and then EINTR is what the program waits for; but it knows of EINTR.
//
// A wait's limit of time begins again. A call that has also submitted answers how many, and comes back early: nothing tells it from one
// whose wait was over. Signal-safe, without thread-local data.
#pragma once

#include <ucontext.h>

namespace prof {

// In the SIGPROF handler, last, of a signal of libprof's: the context goes on with the call.
void go_on_with_ring_wait(ucontext_t* context);

}  // namespace prof
