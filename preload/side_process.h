// A process of its own that shares this one's memory, as a child of vfork does, while the thread that made it waits: what it does can be
// bounded in time. A thread could not be left behind: one that a disk does not answer keeps its whole process from ending.
//
// The host sees nothing of it: no signal is sent for its end, and wait() does not find it.
#pragma once

#include <atomic>
#include <cstdint>

namespace prof {

// Normal code, at the start, before the two below are called.
void side_process_prepare();

// The clone system call, with a stack of the child's own, the memory shared, and no exit signal: the child calls main(argument), which does
// not return. cleared: a futex, 0 when the child has ended; null: none. Signal-safe. The child's pid, or -errno.
long clone_with_memory(void* stack_top, void (*main)(void*), void* argument, std::atomic<uint32_t>* cleared);

// In such a process: the soft limits of descriptors, file size and memory, which the program may have used up, become the hard ones.
// Signal-safe.
void use_hard_limits();

// At the end of a process, or before an exec. Calls work() in one and waits for it until the deadline (CLOCK_MONOTONIC); then it is
// ended. The child has this thread's identity but for its process and thread id, so work() may do what this thread may, and nothing that
// it has locked or allocated is to be touched by this process where it did not end by itself. Signal-safe itself.
enum class SideWork {
  done,
  impossible,
  failed,
  too_late,
  stuck
};  // impossible: there is no such process; stuck: nor does it end
SideWork work_aside(void (*work)(), bool keeps_descriptors, int64_t deadline_ns);

// Whether such a process is at work, or was ended while it was: libprof's heap, which it shares, may be locked, in a child of fork and here.
bool work_aside_may_hold_heap();

// In a signal handler on the thread that is in work_aside(), and is not to come back there: whether its process is there, and the same wait.
bool work_aside_is_at_work();
void work_aside_await(int64_t deadline_ns);

}  // namespace prof
