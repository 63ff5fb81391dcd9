// The profiles of processes that were killed, from the files that their regions lie in (PROF_SPOOL). Normal code; of `prof recover`.
//
// A file is taken by a lock, so that several may be at it at once, and goes when all that it holds is written. It may be anything: see
// region_reading.h. The names in it are those that its process would have written to, in its own file system: where that may be another's
// (a container's), what is written goes into the folder that the region is in. Nothing is replaced but older profiles of the caller's.
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
  bool is_own_folder =
      false;  // the folder was made for one program and its children (profrun's): the names in it are of this file system
  std::string to;  // a folder for all that is written, whatever names there are; empty: none
};

struct Recovery {
  Recovered result = Recovered::refused;
  int pid = 0;
  std::string executable;
  std::string text;                // refused: why; else how the process ended
  std::vector<std::string> files;  // the profiles
  bool is_moved = false;           // they are in the region's folder, since their names are of another file system
  std::string missing_folder;      // failed: which one has to be made first; empty: it is not that
};

// The names of regions' files in a folder, in order. False: it cannot be read.
bool region_files_in(const std::string& folder, std::vector<std::string>* names);

Recovery recover_region(const std::string& folder, const std::string& name, const RecoveryOptions& options);

}  // namespace prof
