// Where a process's CPU profile goes. Plain data: the reporter's launch copies it in a signal handler.
#pragma once

#include <cstdint>

#include "core/report/config.h"

namespace prof {

struct Output {
  char path[4096];          // absolute; %-sequences expanded; .PID inserted where this process is a child
  int64_t started_unix_ns;  // of this process: an older file of that name is a previous run's
  bool is_child;            // its parent is (or was) profiled under the same setting
};

// Fills it from the settings. Normal code. False: the name cannot be used (one line said).
bool output_prepare(const Config& config, Output* output);

// In a child of fork: the same with its own pid. Normal code.
void output_for_child(Output* output);

}  // namespace prof
