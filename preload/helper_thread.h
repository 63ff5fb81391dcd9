// A thread of libprof's own, made by a bare clone: the C library does not know of it, so that a program with one thread keeps its
// single-threaded paths. It must use no thread-local data (it has a block of zeros for it), nothing that allocates or locks, raw
// system calls only; every signal is blocked in it. Signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace prof {

// An object of static storage is constinit: a constructor that runs after the thread was started would take its tid away.
struct HelperThread {
  static constexpr unsigned kStackBytes = 64 * 1024;
  static constexpr unsigned kTlsBytes = 8 * 1024;
  std::atomic<int> tid;       // 0: none, or it has ended (the kernel clears it)
  std::atomic<int> last_tid;  // a little later it is no thread of the process any more
  void (*main)();
  bool keeps_stderr;
  alignas(64) unsigned char tls[kTlsBytes];  // the thread pointer is in the middle
  alignas(16) unsigned char stack[kStackBytes];
};

// Starts it; main() returns when it is done. It has no descriptors but, where that is asked for, stderr, and opens what it needs; a root
// and a working folder of its own. False: it is at work already, or the kernel refused.
bool helper_start(HelperThread* helper, void (*main)(), bool keeps_stderr);
inline bool helper_is_at_work(const HelperThread& helper) { return helper.tid.load(std::memory_order_acquire) != 0; }
// Whether a thread of this process is one of these.
bool is_helper(int tid);
// How many the process has.
unsigned helpers_there();
// Waits until this one (tid: what it had) is no thread of the process any more, for so long at most. False: it is.
bool helper_await_gone(int tid, int most_milliseconds);
// Waits until none is, for so long at most for each.
void helpers_await_gone(int most_milliseconds);
// In a child of fork: it is the parent's.
void helper_forget(HelperThread* helper);

// Waits, not for long, until no helper holds copies of the program's descriptors: a perf event lives as long as one of it.
void helpers_await_closing();

}  // namespace prof
