// The profiles that a process leaves at its end, before an exec, or at exit: by whom they are written, and what is done where nobody can.
// Signal-safe, unless it says otherwise: whoever calls _exit, or was hit by a signal, may be anywhere. Deadlines: CLOCK_MONOTONIC.
#pragma once

#include "core/report/config.h"
#include "core/report/output.h"
#include "core/report/profiler.h"

namespace prof {

// Of one stretch of the CPU profile.
ReportTask task_of_stretch(const Config& config, uint32_t stretch);

// Both are kept, and are as they are then. Normal code.
void last_profiles_prepare(const Config& config, const Output& output);
// In a child of fork, before it is forgotten: whether a thread or a process beside was writing, and libprof's heap may be locked.
bool last_profiles_hold_heap();
void last_profiles_forget();

// See EndingCalls, whose first two these are.
void write_last(Ending ending, int64_t deadline_ns);
void write_amid(Ending ending, int64_t deadline_ns);
// A child of fork that goes on to another program at once has done nothing but to launch it.
bool read_before_exec(int64_t deadline_ns, bool may_go_on);
// It has not taken place: what was written of the process is to be no profile of a program that went on as another one.
void take_back_before_exec();

// All that is recorded ends here, too. In normal code.
void write_at_exit(Ending ending);

}  // namespace prof
