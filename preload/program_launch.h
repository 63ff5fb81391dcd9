// Starts libprof.so as a program of its own (libprof_program.cc), by raw clone and execve, in a way that the host does not see.
//
// It is a grandchild: execve makes any child one whose end the host is told of by SIGCHLD and wait(). The child between the two
// executes nothing, has no exit signal, and is reaped at once. A host that is process 1 of its container, or has asked to be
// given orphans, would be given the program then. Of one that ends soon it gets the end. One that stays would keep a host waiting that
// waits for all its children: there the child between the two stays too, as "libprof-keeper". It stays as well where the host is to
// wait for the program.
//
// Signal-safe where not said otherwise.
#pragma once

#include <atomic>
#include <cstdint>

namespace prof {

// What a launch needs; static, because both children read it when who launched may have returned.
struct ProgramLaunch {
  std::atomic<int> pid;                   // the program's; 0: none
  bool stays;                             // it is not to end soon
  bool is_awaited;                        // launch_await() is going to be called
  bool keeps_descriptors;                 // all of the caller's: a profile goes to one of them
  int keeper;                             // the child between, where that stays; else 0
  int status;                             // of one that is_awaited and has ended, as wait() has it; -1: not known
  std::atomic<uint32_t> keeper_is_there;  // futex; the kernel clears it and wakes who waits when the keeper has ended
  char** arguments;                       // null-terminated
  // The caller's that the program has as kLaunchedDescriptor and the numbers after it; above all of these, or -1: it has none of that
  // number. It has no other but stderr.
  int descriptors[3];
  alignas(16) unsigned char child_stack[4096];
  alignas(16) unsigned char program_stack[4096];
};
inline constexpr int kLaunchedDescriptor = 3;

// Finds libprof.so's path. Normal code, once.
void launch_prepare();
// libprof.so's path; null: not known. Signal-safe.
const char* launch_path();

// False: it could not be started. What it is to read of this process is open to it.
bool launch_program(ProgramLaunch* launch);
// At the process's end, before a process is started: after unshare(CLONE_NEWPID) none can be any more where the first of the new namespace has
// ended, and the thread goes back where it may (CAP_SYS_ADMIN). Signal-safe.
void leave_new_pid_namespace();
// Waits for the end of one that is_awaited, for so long at most. True: it has ended.
bool launch_await(ProgramLaunch* launch, int64_t most_ns);
// The program has ended: the child between, where it stayed, ends too.
void launch_is_over(ProgramLaunch* launch);

// Where Yama restricts it, a process's memory may be read by the one whom it named last.
void let_read(int pid);

}  // namespace prof
