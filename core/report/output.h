// Where a process's profiles go. Plain data: the reporter's launch copies it in a signal handler.
#pragma once

#include <cstdint>
#include <optional>

#include "core/report/config.h"

namespace prof {

struct Output {
  // By ProfileKind: absolute; %-sequences expanded; .PID inserted where this process is a child. Empty: the kind is off.
  char paths[kProfileKinds][4096];
  char executable[4096];        // at the start; empty: not known
  int64_t started_unix_ns;      // of this process: an older file of that name is a previous run's
  bool is_child;                // its parent is (or was) profiled under the same setting
  bool has_pid[kProfileKinds];  // this process's pid is in the name: a file that is there is another's that had it

  KindSet kinds() const {
    KindSet on;
    for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
      if (paths[kind][0] != '\0') on.add(static_cast<ProfileKind>(kind));
    }
    return on;
  }
  const char* path_of(ProfileKind kind) const { return paths[static_cast<unsigned>(kind)]; }
};

// Fills it from the settings, for the kinds that are on. is_child: see Output, where it is known; else what the parent's environment
// says. Normal code. A kind whose name cannot be used is off (one line said).
void output_prepare(const Config& config, std::optional<bool> is_child, Output* output);

// A line for each folder that cannot be written now, with the variables that name it: a typing error is to be seen at the start, not
// when the work is done. Nothing is turned off, since the folder may come into being. One system call for each folder, and for each file
// that is named: the name may be a folder's. Normal code.
void output_check_folders(const Config& config, const Output& output);

// In a child of fork: the same with its own pid. Normal code.
void output_for_child(Output* output);

}  // namespace prof
