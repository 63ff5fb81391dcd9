// The numbers that .eh_frame is made of, read one after the other. Signal-safe.
//
// Sources: DWARF 5, 7.6 (LEB128); Linux Standard Base, Core 5.0, 10.5.1 (pointer encodings, DW_EH_PE_*).
#pragma once

#include <cstdint>

#include "core/unwind/code_bytes.h"

namespace prof {

inline constexpr uint8_t kPointerOmitted = 0xff;

// Reads from one range of bytes. What goes wrong (the end, a number too long, an encoding that does not occur) is remembered: ok()
// is asked once, after a group of reads; what they gave is 0 from there on.
class DwarfReader {
 public:
  DwarfReader(CodeBytes* bytes, uint64_t at, uint64_t end) : bytes_(bytes), at_(at), end_(end) {}

  bool ok() const { return ok_; }
  bool at_end() const { return !ok_ || at_ >= end_; }
  uint64_t at() const { return at_; }
  uint64_t end() const { return end_; }
  void skip(uint64_t bytes) {
    if (bytes > end_ - at_) return fail();
    at_ += bytes;
  }

  template <typename Number>
  Number number() {
    Number value = 0;
    if (sizeof(Number) > end_ - at_ || !bytes_->read(at_, &value, sizeof(value))) {
      fail();
      return 0;
    }
    at_ += sizeof(value);
    return value;
  }
  uint8_t u8() { return number<uint8_t>(); }
  uint64_t uleb128();
  int64_t sleb128();
  // An address as encoded. data_base: what DW_EH_PE_datarel is relative to.
  uint64_t pointer(uint8_t encoding, uint64_t data_base = 0);

 private:
  void fail() {
    ok_ = false;
    at_ = end_;
  }

  CodeBytes* const bytes_;
  uint64_t at_;
  const uint64_t end_;
  bool ok_ = true;
};

}  // namespace prof
