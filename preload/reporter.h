// The reporter: a process of its own that writes a finished stretch's profile while the program runs on.
//
// Why a process: a signal handler can neither allocate nor create a thread, and a second thread would cost a single-threaded
// program glibc's single-thread paths. It is libprof.so itself, executed as a program (program_launch.h); it shares
// no descriptor with the host, and reads the region by process_vm_readv.
//
// Signal-safe where not said otherwise. At most one for the odd and one for the even stretches at a time, one for a snapshot,
// one for the end, and one for an exec.
#pragma once

#include <cstdint>

#include "core/report/profiler.h"

namespace prof {

// Of its arguments (libprof_program.cc).
inline constexpr unsigned kReporterNumbers = 12;

// Whether this process was started as a reporter, or otherwise as libprof.so itself: nothing is to be profiled in it.
bool reporter_is_this_process();

// The file that the region lies in, which the last reporter removes when it has written the profiles; empty: none. It stays where it is.
void reporter_removes(const char* spool_file);

// Starts one for a stretch that has ended, or for a snapshot. What fails of a stretch is made good at exit.
void reporter_launch(const ReportTask& task, const Output& output);

// Whether the reporter of the stretch before the last one is still at work: a new stretch would write over what it reads.
bool reporter_is_busy(uint32_t next_stretch);

// Whether the reporter of the last snapshot is still at work.
bool reporter_is_busy_with_snapshot();

// Whether another process may read this one. Not where it gave its rights up, or its main thread has ended.
bool reporter_can_read();

// At the end: waits, for so long at most, for those that are at work. True: nothing became of this stretch's profile.
bool reporter_wait(uint32_t stretch, int64_t most_ns);

// Starts the one that writes what the process leaves when it ends past its destructors, and waits for it: until the deadline
// (CLOCK_MONOTONIC), when it gives up by itself, or until is_over() answers true, which leaves it at work. False: it could not be started.
// keeps_descriptors: it has the program's, which a profile goes to.
bool reporter_finish(const ReportTask& task, const Output& output, bool keeps_descriptors, int64_t deadline_ns,
                     bool (*is_over)());

// Starts the one that writes the profiles once this process has executed another program, and waits until it has read what it needs, for
// the deadline at most. If the exec fails: nothing is written, which is certain when reporter_exec_failed() returns: it waits until that one
// knows, and ends it if it does not answer; for the same deadline at most.
void reporter_before_exec(const ReportTask& task, const Output& output, int64_t deadline_ns);
void reporter_exec_failed();

// In a child of fork: they are the parent's.
void reporter_forget();

}  // namespace prof
