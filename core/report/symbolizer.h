// Function names of code: from ELF files, the vdso, and JIT maps (/tmp/perf-PID.map). Normal code; keeps each file's symbols as
// long as it lives.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/report/elf_symbols.h"

namespace prof {

class Symbolizer {
 public:
  // pid: of the process whose code it is. Files are opened as that process sees them.
  explicit Symbolizer(int pid);
  // The same where that process is gone: its number may be another's by now. build_ids: by path; a file that has another one by now is
  // another file, and has no names for us.
  Symbolizer(int pid, std::unordered_map<std::string, std::string> build_ids);

  // The symbols of a file (or "[vdso]"), read when first asked for.
  const ElfSymbols& file(const std::string& path);
  // The mangled name of the function at a byte of a file; empty: none.
  std::string find_in_file(const std::string& path, uint64_t file_offset);
  // The byte of the file that this function begins at; 0: no function is known there.
  uint64_t start_in_file(const std::string& path, uint64_t file_offset);
  // The name that a JIT compiler gave the code at an address; empty: none.
  std::string find_jit(uint64_t address);
  // What compilers have written since is read when it is asked for.
  void forget_jit();

 private:
  struct JitCode {
    uint64_t end;
    std::string name;
  };
  void read_jit_map();

  const int pid_;
  const bool is_gone_ = false;
  const std::unordered_map<std::string, std::string> build_ids_;
  std::unordered_map<std::string, ElfSymbols> files_;
  bool jit_read_ = false;
  std::map<uint64_t, JitCode> jit_;  // by start
};

}  // namespace prof
