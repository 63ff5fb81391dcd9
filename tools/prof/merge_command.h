// prof merge: several profiles of one kind become one file, as `go tool pprof -proto` makes it of them.
#pragma once

#include <string>
#include <vector>

namespace prof::reader {

struct MergeCommand {
  std::string output;
  std::vector<std::string> sources;  // files, or folders: all files that are in them
  bool processes = false;            // each sample has labels of the process that it is of
};

// False: *error says why. Where nothing is there to be merged, nothing is written: *count is 0. A source that cannot be read is left out
// with a line on stderr, where processes are merged; else it is an error.
bool merge_files(const MergeCommand& command, size_t* count, std::string* error);

}  // namespace prof::reader
