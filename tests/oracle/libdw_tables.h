// An ELF file's .eh_frame as libdw (elfutils) reads it: whose code shares nothing with core/unwind. Normal code.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace prof::oracle {

// The addresses are those in the file.
struct TableEntry {
  uint64_t start = 0;
  uint64_t end = 0;
};

struct TableRow {
  uint64_t start = 0;
  uint64_t end = 0;
  bool is_signal_frame = false;
  bool is_refused = false;
  std::shared_ptr<Dwarf_Frame> frame;
};

class LibdwTables {
 public:
  // file: an open ELF file. Ends the program where libdw cannot read it.
  explicit LibdwTables(int file);
  ~LibdwTables();
  LibdwTables(const LibdwTables&) = delete;
  LibdwTables& operator=(const LibdwTables&) = delete;

  // Every entry that describes code, by address.
  const std::vector<TableEntry>& entries() const { return entries_; }
  // False: nothing describes the address, or what does is invalid to libdw: no frame then, but is_refused is set.
  bool row_at(uint64_t address, TableRow* row) const;

 private:
  void read_entries();

  Elf* elf_ = nullptr;
  Dwarf_CFI* cfi_ = nullptr;
  std::vector<TableEntry> entries_;
};

}  // namespace prof::oracle
