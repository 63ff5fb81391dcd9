// What a process is told whose region was read: a few words of that region, read and written there while the process runs. Normal code.
//
// Meanwhile the process may have become another program (exec), with anything of its own at the same address. A descriptor of its memory
// (/proc/PID/mem) stays with the one that it was opened for, and leads nowhere once that has gone.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "core/report/region_view.h"

namespace prof {

class OwnerMemory {
 public:
  // region: a view of that process by its number, which stays as long as this does. header_address: of the region there.
  OwnerMemory(int pid, uint64_t header_address, const RegionView& region);
  ~OwnerMemory();
  OwnerMemory(const OwnerMemory&) = delete;
  OwnerMemory& operator=(const OwnerMemory&) = delete;

  // At an offset in the structure that a root names. False: that is not reached, or is not there.
  template <typename Value>
  bool read(Root root, size_t offset, Value* value) const {
    return read_bytes(address_of(root, offset, sizeof(*value)), value, sizeof(*value));
  }
  template <typename Value>
  bool write(Root root, size_t offset, const Value& value) const {
    return write_bytes(address_of(root, offset, sizeof(value)), &value, sizeof(value));
  }

  // Whether it is the process's still: others may share it, as a child of vfork does, and keep it. unclear: the process may not be looked at,
  // or its first thread has ended.
  enum class Place { kept, left, unclear };
  Place place() const;

 private:
  uint64_t address_of(Root root, size_t offset, size_t bytes) const;  // 0: the region has no such place
  bool read_bytes(uint64_t address, void* bytes, size_t size) const;
  bool write_bytes(uint64_t address, const void* bytes, size_t size) const;
  ssize_t read_of_process(uint64_t address, void* bytes, size_t size) const;
  bool is_that_region(const RegionHeader& header) const;
  bool is_in_place() const;

  const int pid_;
  const uint64_t header_address_;
  const RegionView& region_;
  const int descriptor_;  // -1: there is no /proc
  bool is_known_ = true;  // the descriptor leads to that region
};

}  // namespace prof
