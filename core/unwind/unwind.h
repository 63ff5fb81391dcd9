// capture(): the call stack of an interrupted thread, from its registers. The one header of this folder for others.
//
// Signal-safe: no lock, no allocation, no loader call but _dl_find_object (lock-free by glibc's contract); it reads memory
// only where it is known, or found by the kernel, to be readable; at most `capacity` frames.
//
// How: a frame's caller follows from a rule (unwind_rule.h: the CFA, where rbp is saved). Rules are cached by ranges of
// addresses (rule_cache.h), so a warm frame is one look-up and two loads; outer frames that a thread's last walk had too are two loads
// and a comparison (walk_memo.h). Frames whose rule is no such simple thing are stepped by libunwind on the real stack with all
// registers (slow_walk.h); on aarch64, which has no libunwind here, the stack ends there with a marker. Code without unwind
// information: the frame pointer, if it points up this stack, else the stack ends with a marker.
//
// Where a rule that is missing comes from (Unwinder, PROF_UNWIND):
//   tables          .eh_frame, read by rule_from_tables.h: 0.5 us a rule, and each is known for a whole range of addresses.
//   libunwind       the same tables read by libunwind, which is handed a stack of symbols instead of memory
//                   (rule_from_libunwind.h): 1.5 us a rule, for one address each. What the tests compare the other with.
//                   On aarch64 the same as tables.
//   frame_pointers  no tables: right only where all code keeps frame pointers (Debian's does not), and without its functions'
//                   first and last instructions. For code whose tables are wrong. libprof's own code is read by its tables.
//
// Rejected: unw_backtrace (fast, but reads unchecked memory and allocates 256 KB a thread), unw_step for every frame
// (400 ns each, most of it blocking signals).
#pragma once

#include <signal.h>

#include <cstdint>

#include "core/base/address.h"
#include "core/unwind/machine.h"

namespace prof {

// A thread's own stack, [low, high) in bytes; both 0 where it is not known. What lies in it above a stack pointer is
// readable; other stacks (coroutines, alternate ones) are found or probed page by page.
struct StackBounds {
  uint64_t low = 0;
  uint64_t high = 0;
};

struct Registers {
  uint64_t pc = 0;
  uint64_t sp = 0;
  uint64_t bp = 0;
};

struct CaptureResult {
  unsigned frames = 0;  // written to `frames`, the end marker not counted
  StackEnd end = StackEnd::complete;
};

// Code that is to be left out of stacks, [start, end): libprof's own.
struct CodeRange {
  uint64_t start = 0;
  uint64_t end = 0;
};

// Where the rules come from (the head of this file says what each is good for).
enum class Unwinder { tables, libunwind, frame_pointers };

// Once, before any capture, in normal code.
void unwind_start(CodeRange own_code, Unwinder unwinder = Unwinder::tables);

// Once, before any capture, in normal code: stacks are read by system calls, 20 times slower. Under valgrind, which reports a read of what
// the program has not written, as words of a stack may be, and says a word of its own at each question whether a page is there.
void unwind_read_by_copies();

// The stack of the calling thread from a point in one of its own functions, which must not have returned yet (CalleeSaved: machine.h).
// thread: its tid, or any
// number that it has mostly to itself. As below otherwise.
CaptureResult capture(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t* frames,
                      unsigned capacity);

// The number that stack_is_known() gave to the stack that capture() would find from here, without walking it: by the same thread,
// from the same registers, and what a walk reads is unchanged (known_walks.h). 0: it has to be walked. key: what the number rests
// on beside the stack.
uint32_t known_stack(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t key);

// The complete stack that capture() has just found from here is `number`, not 0, from now on. It may forget it at any time.
void stack_is_known(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t key, uint32_t number);

// Room for the part of another thread's stack that is walked: it may be gone in the next moment.
struct StackCopy {
  static constexpr unsigned kBytes = 32 * 1024;
  alignas(8) unsigned char bytes[kBytes];
};

// Where another thread of this process sleeps in the kernel (/proc/PID/task/TID/syscall says it).
struct SleepingAt {
  uint64_t pc;
  uint64_t sp;
};

// The stack of such a thread. Its other registers are not known: where the next frame follows from one that no frame before has
// saved, the stack ends in a marker. What it was doing meanwhile is for the caller to check: the thread may have woken up.
CaptureResult capture(const SleepingAt& at, const StackBounds& bounds, StackCopy* copy, uint64_t* frames,
                      unsigned capacity);

// The stack of the thread that a signal interrupted with `context`. frames: room for `capacity` lookup addresses, leaf
// first; own code is left out.
CaptureResult capture(const ucontext_t& context, const StackBounds& bounds, uint64_t* frames, unsigned capacity);

// The same, of a thread that is looked at again and again: thread is its tid, and outer frames that have not changed since its last
// walk are not worked out again (walk_memo.h).
CaptureResult capture(const ucontext_t& context, const StackBounds& bounds, unsigned thread, uint64_t* frames,
                      unsigned capacity);

// In a child of fork: the last walks of its parent's threads are not its own.
void forget_walks();

}  // namespace prof
