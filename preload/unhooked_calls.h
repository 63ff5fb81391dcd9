// What no profile needs is not to cost anything: the calls of the objects that are there reach their real functions again, as if
// libprof were not. It saves 1.5 ns a malloc and free, and as much a lock and unlock, which a CPU profile alone shall not cost.
#pragma once

namespace prof {

// Normal code, at the end of libprof's constructor. allocation: malloc and its kin; waits: the locks that are called often. may_return:
// somebody may want them later.
void unhook_calls(bool allocation, bool waits, bool may_return);

// They reach ours again: what the program allocates or waits for from now on is seen. Signal-safe, any number of times.
void hook_allocation_again();
void hook_waits_again();

}  // namespace prof
