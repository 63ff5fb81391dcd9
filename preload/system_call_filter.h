// A program that is about to forbid itself system calls (seccomp). Where libprof's are among them it would be libprof that ends the program,
// so the profiles are written before, and nothing is recorded, written or asked of the kernel after.
#pragma once

namespace prof {

// Calls end() then; or leave_signals(), where all that could not be done any more is to let the program die of a signal as it would.
// Normal code, as the calls are that it stands before.
void system_call_filter_start(void (*end)(), void (*leave_signals)());

// Before prctl(PR_SET_SECCOMP, mode, program), and the system call of that name.
void before_system_call_filter(unsigned long mode, const void* program);

// Whether what libprof does would go on under this filter (a struct sock_fprog), or the kernel refuses it.
bool filter_lets_libprof_work(const void* program);

}  // namespace prof
