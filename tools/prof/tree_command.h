// prof tree: what `profrun --merge` becomes. It runs the program with libprof.so preloaded, lets each process of the tree write its
// profiles into a folder of their own, and makes one file for each kind of them when the program has ended. Signals that are sent to it
// are passed on, and it ends as the program did.
#pragma once

#include <string>
#include <vector>

namespace prof::reader {

struct TreeCommand {
  std::string preload;               // LD_PRELOAD of the program
  std::vector<std::string> wanted;   // VARIABLE=FILE, such as PROF_CPU=/tmp/cpu.prof
  std::vector<std::string> program;  // and its arguments
};

// Its exit status; or it does not return, having ended by the program's signal.
int run_tree(const TreeCommand& command);

}  // namespace prof::reader
