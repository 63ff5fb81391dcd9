// The reporter: a process of its own that writes a finished stretch's profile while the program runs on.
//
// Why a process: a signal handler can neither allocate nor create a thread, and a second thread would cost a single-threaded
// program glibc's single-thread paths. It is libprof.so itself, executed as a program (libprof_program.cc), started by raw
// clone and execve; it has no exit signal (the host's SIGCHLD and wait() do not see it), shares no descriptor with the host, and
// reads the region by process_vm_readv.
//
// Signal-safe where not said otherwise. At most one for the odd and one for the even stretches at a time.
#pragma once

#include <cstdint>

#include "core/report/output.h"

namespace prof {

// Whether this process was started as a reporter, or otherwise as libprof.so itself: nothing is to be profiled in it.
bool reporter_is_this_process();

// Finds libprof.so's path. Normal code, once.
void reporter_prepare();

// Starts one for a stretch that has ended. What fails here or in it is made good at exit.
void reporter_launch(uint32_t stretch, const Output& output, bool numbered);

// Takes leave of reporters that are done. Does not wait.
void reporter_reap();

// Normal code, at exit: waits for those that are at work. True: this stretch's profile has not been written.
bool reporter_wait(uint32_t stretch);

// In a child of fork: they are the parent's.
void reporter_forget();

}  // namespace prof
