// The function symbols of one ELF file (64-bit, little-endian). Normal code.
//
// The file is untrusted, may be truncated while it is read, and is read by pread: a mapping of a file that is cut short
// kills by SIGBUS. Offsets and sizes are checked; what does not fit is left out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/report/symbol_index.h"

namespace prof {

struct ElfSegment {
  uint64_t file_offset = 0, address = 0, bytes = 0;  // of a PT_LOAD, as in the file
};

class ElfSymbols {
 public:
  // Null names and no symbols where it is no such file.
  static ElfSymbols of_file(const std::string& path);
  // An image in memory (the vdso).
  static ElfSymbols of_memory(const void* image, uint64_t bytes);

  // Of a file that is not to be had.
  static ElfSymbols without_symbols(std::string build_id) {
    ElfSymbols elf;
    elf.build_id_ = std::move(build_id);
    return elf;
  }

  const std::string& build_id() const { return build_id_; }  // hexadecimal
  bool has_line_table() const { return has_line_table_; }
  const std::vector<ElfSegment>& segments() const { return segments_; }

  // The name of the function that contains an address as in the file (ElfSegment::address); empty: none does. Of several
  // names for one place: global before weak before local, then the shortest.
  std::string_view find(uint64_t address) const;
  // Where that function begins; 0: there is none.
  uint64_t find_start(uint64_t address) const;
  // The file's address of a byte at an offset in it; false: no segment holds it.
  bool address_of_offset(uint64_t file_offset, uint64_t* address) const;

 private:
  class Source;
  void load(const Source& source, bool symbols_only);
  void add_symbols(const Source& source, const void* section_table, unsigned sections, unsigned index);

  std::vector<ElfSegment> segments_;
  mutable SymbolIndex symbols_;                 // orders itself as it is asked
  std::vector<std::unique_ptr<char[]>> names_;  // string tables, which the symbols' names point into
  std::string build_id_;
  bool has_line_table_ = false;
  bool has_full_table_ = false;
};

}  // namespace prof
