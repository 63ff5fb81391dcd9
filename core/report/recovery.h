// The profiles of processes that were killed, from the files that their regions lie in (PROF_SPOOL). Normal code; of `prof recover`.
//
// A file is taken by a lock, so that several may be at it at once, and goes when all that it holds is written. It may be anything: see
// region_reading.h.
#pragma once

#include <string>
#include <vector>

namespace prof {

enum class Recovered {
  written,  // the process was killed, and its profiles are there now
  nothing,  // there was nothing (more) to be written: the file is gone
  lives,    // its process has it
  busy,     // somebody else is at it
  unknown,  // whether its process lives cannot be seen from here
  refused,  // it is not the user's, or others may write to it, or it is no region: left alone
  failed,   // profiles could not be written (one line has said why): the file stays
};

struct RecoveryOptions {
  bool is_gone = false;     // what cannot be seen from here is gone: the user says so
  bool just_ended = false;  // its process has ended right now, if it has
};

struct Recovery {
  Recovered result = Recovered::refused;
  int pid = 0;
  std::string executable;
  std::string text;                // refused: why; else how the process ended
  std::vector<std::string> files;  // the profiles
  std::string missing_folder;      // failed: which one has to be made first; empty: it is not that
};

// The names of regions' files in a folder, in order. False: it cannot be read.
bool region_files_in(const std::string& folder, std::vector<std::string>* names);

Recovery recover_region(const std::string& folder, const std::string& name, const RecoveryOptions& options);

}  // namespace prof
