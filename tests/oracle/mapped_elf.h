// An ELF file's segments in memory, at the distances from each other that they have in a process, without running any of it: shared
// libraries and programs alike; those that have fixed addresses, there. Normal code.
#pragma once

#include <cstdint>
#include <string>

#include "core/unwind/code_lookup.h"

namespace prof::oracle {

class MappedElf {
 public:
  // Ends the program with a message where the file is not what is expected.
  explicit MappedElf(const std::string& path);
  MappedElf(const MappedElf&) = delete;
  MappedElf& operator=(const MappedElf&) = delete;

  int file() const { return file_; }
  // As the loader's tables describe it. What lies between its segments is not readable.
  const CodeObject& object() const { return object_; }
  // What is added to an address of the file.
  uint64_t bias() const { return bias_; }
  // Whether the code at an address of this process, which need not be readable, is the return from a signal's handler.
  bool is_signal_return(uint64_t address) const;

 private:
  int file_ = -1;
  uint64_t bias_ = 0;
  CodeObject object_;
};

[[noreturn]] void fail(const std::string& message);

}  // namespace prof::oracle
