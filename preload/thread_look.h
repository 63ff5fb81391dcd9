// A look at one thread from another: where it is, and what it waits for. Signal-safe; from a thread of libprof's own (helper_thread.h).
//
//   sleeps in the kernel        ─▶ /proc/self/task/TID/syscall: pc and sp; its stack is copied and walked from here
//   … in an interposed call     ─▶ its note (thread_table.h): stack, kind, since when
//   runs                        ─▶ a timer on its CPU clock that fires at once; its own handler walks
//
// No thread is signalled while it sleeps: no system call of its ends with EINTR. The kernel delivers a CPU timer's signal to a thread
// that is on its way back to the program, never to one in a call; one that falls asleep before is found asleep at the next look.
#pragma once

#include <signal.h>

#include "core/record/stack_table.h"
#include "core/record/thread_table.h"
#include "core/unwind/unwind.h"

namespace prof {

// Its stack was taken; it runs, and was asked; it is gone; it runs and cannot be asked (it has no slot, or SIGPROF is the program's).
enum class Looked { seen, asked, gone, unreachable };

// What a look needs, one for each thread that looks.
struct LookRoom {
  unsigned looker;  // which of ThreadSlot::looks is its own
  StackCopy copy;
  uint64_t frames[kMaxStackFrames + 1];
};

// slot: the thread's, null where it has none. seen: filled where it was seen.
Looked look_at(int tid, ThreadSlot* slot, unsigned depth, LookRoom* room, ThreadView* seen);

// After `asked`: the same again, or its answer. `asked`: still none.
Looked look_again(int tid, ThreadSlot* slot, unsigned depth, LookRoom* room, ThreadView* seen);
// After `asked`: whether it has answered since. It may have slept in between: then the answer is of the time that it ran again.
bool look_is_answered(ThreadSlot* slot, const LookRoom& room, ThreadView* seen);
// No answer is wanted any more.
void look_is_over(ThreadSlot* slot, const LookRoom& room);

// descriptor: /proc/self/task/PID/syscall of the main thread, of the calling thread's own table, open from then on; negative: none. By it
// this thread sees the main one sleep when the process has given up its rights. Again in a child of fork.
void look_keeps_main_thread(int descriptor);

// The name of a thread, by the kernel. 0: it is gone, or there is no room.
Ref name_of_thread(int tid);

// Of a slot that ticks in user mode only from here on: who looks asks again, in user mode too; or that is held, and not asked again. Signal-safe.
void take_looks_back(ThreadSlot* slot);

// SIGPROF is the program's from here on: no question comes to a thread any more. Signal-safe.
void looks_give_up();

// In the SIGPROF handler: whether this signal asks for a look at its thread; then it is answered.
bool answer_look(const siginfo_t& info, const ucontext_t& context);

// How deep the stacks are that a handler takes, and whether all threads are asked in user mode only. Before the first look.
void looks_start(unsigned depth, bool in_user_mode);

}  // namespace prof
