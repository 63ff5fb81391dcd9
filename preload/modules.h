// What is loaded before and after an unloading. Normal code: dl_iterate_phdr takes the loader's lock, as dlclose itself does.
#pragma once

#include <cstdint>

#include "core/record/unloaded_modules.h"

namespace prof {

// Made before the real dlclose, destroyed after it: notes what is gone, and holds off the working out of unwind rules in
// between. May nest: a library's destructor may call dlclose.
class ModulesAroundUnload {
 public:
  ModulesAroundUnload();
  ~ModulesAroundUnload();
  ModulesAroundUnload(const ModulesAroundUnload&) = delete;
  ModulesAroundUnload& operator=(const ModulesAroundUnload&) = delete;

 private:
  struct List;
  List* before_ = nullptr;
  uint64_t unloads_before_ = 0;
};

}  // namespace prof
