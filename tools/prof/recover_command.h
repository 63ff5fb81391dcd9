// prof recover: the profiles of processes that were killed. Normal code.
#pragma once

#include <string>

namespace prof::reader {

struct RecoverCommand {
  std::string folder;
  bool is_gone = false;
  std::string to;   // a folder for all profiles; empty: where their processes would have written them
  int watched = 0;  // the process whose end is waited for; 0: none, what is there now is recovered
};

// The exit status: 0, or 1 where something could not be recovered, and a line has said what.
//
// With `watched` it returns once a process of its own watches, which is nobody's child, holds nothing of the caller's but stderr, and that
// no longer than the process lives; it ends, and takes the folder away, when the last process that has a file there has ended.
int run_recover(const RecoverCommand& command);

// For processes that have all ended, whose profiles are to be merged: where they are is not said. False: something could not be recovered, and a
// line on stderr has said what.
bool recover_ended(const std::string& folder);

}  // namespace prof::reader
