// Libraries and interpreters that a process has mapped, and of which something is known not to be seen by libprof. Normal code.
#pragma once

#include <string>
#include <vector>

#include "core/report/module_map.h"

namespace prof {

struct UnreachedCode {
  std::string file;
  std::string what;  // of it is not seen, in a whole sentence
};

// By the files' names, each once.
std::vector<UnreachedCode> unreached_code(const ModuleMap& modules);

}  // namespace prof
