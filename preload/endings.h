// The end of the process, whichever way it comes: at most one thread writes what it leaves, once. exit() runs libprof's destructor, which
// claims the writing for itself; every other way (_exit, abort, a signal's default death) comes to end_at_once().
//
// Signal-safe where not said otherwise. In a child of vfork and its like, which shares its parent's memory, nothing happens.
#pragma once

#include <cstdint>

#include "core/report/ending.h"

namespace prof {

// write(ending, deadline): hands the writing to a process of its own and waits for it, until the deadline (CLOCK_MONOTONIC); signal-safe.
// most_ns: PROF_EXIT_TIMEOUT. Normal code, once.
void endings_start(int64_t most_ns, void (*write)(Ending ending, int64_t deadline_ns));

// In a child of fork: the parent's writing is not its own.
void endings_forget();

// The writing is the caller's from here on. False: it is done, or somebody is at it, or there is nothing to be written here.
bool ending_claim();
void ending_is_written();
// The writing goes back: the process lives on after all.
void ending_give_back();
// When what was claimed now has to be over (CLOCK_MONOTONIC).
int64_t ending_deadline();

// Writes, or waits for the thread that is at it, for PROF_EXIT_TIMEOUT at most. Every signal is blocked in this thread then.
void end_at_once(Ending ending);

// Whether another signal that ends the process came to this thread, which blocks it.
bool ending_is_urgent();

}  // namespace prof
