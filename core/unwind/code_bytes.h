// The bytes of a loaded code object, read where it is mapped or, while objects are being unloaded, by the kernel's copying: they may
// go while they are read. Nothing outside the object's mapping is read. Signal-safe.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/unwind/code_lookup.h"

namespace prof {

class CodeBytes {
 public:
  // direct: what CodeReader says. Else what is read is copied line by line.
  explicit CodeBytes(bool direct) : direct_(direct) {}

  void set_object(const CodeObject& object) { object_ = object; }
  const CodeObject& object() const { return object_; }

  // False: the bytes do not lie in the object, or it has gone.
  bool read(uint64_t address, void* to, uint64_t bytes) {
    if (!direct_) return read_copy(address, to, bytes);
    if (!is_within(address, bytes)) return false;
    memcpy(to, reinterpret_cast<const void*>(address), bytes);
    return true;
  }

  // The same by the kernel's copying in any case, at most kLineBytes. Where the kernel does not copy for us, what it says is readable is
  // read in place, unless `direct` forbids it.
  bool read_copy(uint64_t address, void* to, uint64_t bytes);
  static constexpr uint64_t kLineBytes = 64;

 private:
  bool is_within(uint64_t address, uint64_t bytes) const {
    return address >= object_.start && address < object_.end && bytes <= object_.end - address;
  }

  const bool direct_;
  CodeObject object_;
  uint64_t line_start_ = 0;
  uint64_t line_bytes_ = 0;
  unsigned char line_[kLineBytes];
};

}  // namespace prof
