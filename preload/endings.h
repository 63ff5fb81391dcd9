// The end of the process, whichever way it comes: at most one thread writes what it leaves, once. exit() runs libprof's destructor, which
// claims the writing for itself; every other way (_exit, abort, a signal's default death) comes to end_at_once().
//
// Signal-safe where not said otherwise. In a child of vfork and its like, which shares its parent's memory, nothing happens.
#pragma once

#include <signal.h>

#include <cstdint>

#include "core/report/ending.h"

namespace prof {

// write(ending, deadline): hands the writing to a process of its own and waits for it, until the deadline (CLOCK_MONOTONIC); signal-safe.
// write_amid, likewise: a handler of the program's ends the process on the thread that is writing at its exit, wherever that has come.
// before_exec, likewise: has it read, to be written once the exec has taken place. False: there is nothing. exec_failed: it has not. may_go_on:
// it is not unlikely that it fails.
// most_ns: PROF_EXIT_TIMEOUT. Normal code, or a helper thread's; once.
struct EndingCalls {
  void (*write)(Ending ending, int64_t deadline_ns);
  void (*write_amid)(Ending ending, int64_t deadline_ns);
  bool (*before_exec)(int64_t deadline_ns, bool may_go_on);
  void (*exec_failed)();
};
void endings_start(int64_t most_ns, const EndingCalls& calls);

// In a child of fork: the parent's writing is not its own.
void endings_forget();

// The writing is the caller's from here on. False: it is done, or somebody is at it, or there is nothing to be written here.
bool ending_claim();
void ending_is_written();
// A signal ends the process that is writing at its exit: whether it is to wait until that is done; who claimed it asks then which it was.
bool ending_defers(int number, const siginfo_t& info);
bool ending_take_deferred(int* number, siginfo_t* info);
// Whether another thread has claimed it, and is not done.
bool ending_is_of_other_thread();
// When what was claimed now has to be over (CLOCK_MONOTONIC).
int64_t ending_deadline();

// Writes, or waits for the thread that is at it, for PROF_EXIT_TIMEOUT at most. Every signal is blocked in this thread then.
void end_at_once(Ending ending);

// A signal that ends the process has come while another thread executes something, which is past holding back. Where the exec comes first it
// takes this thread along, and the signal with it: so that is the process's again, whose next program it ends. Returns when the exec has failed.
void ending_lets_exec_go_on(int number, siginfo_t* info);

// Another signal that ends the process has come: where that was soon after the first, waits for the thread that writes, which ends it.
void ending_await_together();

// Around an exec that is likely to succeed: what is recorded so far is read before. False: nothing is, and nothing need be undone. A thread
// that ends the process meanwhile comes first.
bool ending_before_exec(bool may_go_on);
void ending_exec_failed();

// This thread is going to fork, and its parent's side to end right after; false: no longer. ends_after_fork() is asked on that side.
void ending_after_fork(bool ends);
bool ends_after_fork();

// Whether another signal that ends the process has come to this thread, which blocks it, and not with the first: those are dropped.
bool ending_is_urgent();

}  // namespace prof
