// Profiles that are written while the program runs: a snapshot for PROF_SIGNAL, a stretch of the CPU profile when PROF_CPU_SIGNAL or
// PROF_CPU_DURATION ends it. By the reporter, a process of its own (reporter.h).
#pragma once

#include "core/report/config.h"
#include "core/report/output.h"

namespace prof {

// Has the signals handled; both are kept by address, and output may change in a child of fork. Normal code, once.
void asked_profiles_start(const Config& config, const Output& output);

// The program is about to handle this signal, ignore it or have its default: where PROF_CPU_SIGNAL names it, that is said, once. Signal-safe.
void program_sets_signal(int number);

// In a child of fork: what its parent was asked for is not its.
void asked_profiles_forget();

}  // namespace prof
