// Reads a region: this process's own, or another process's. Normal code.
//
// Every Ref is checked: what another process wrote may be anything, and even the own one may have been written over by a
// stray pointer of the program.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/region_layout.h"

namespace prof {

class RegionView {
 public:
  // The calling process's own region: read in place.
  static RegionView of_self(const RegionHeader* header);
  // A copy of the region of a process whose header is mapped at an address there (process_vm_readv). Not valid() where it
  // cannot be read or is not a region.
  static RegionView of_process(int pid, uint64_t header_address);
  // The same, by a descriptor of its memory (/proc/PID/mem), which stays open as long as the view is used.
  static RegionView of_memory(int descriptor, uint64_t header_address);
  // Of a region's file (PROF_SPOOL), a copy. Not valid() where it is not one. The file may be anything, and may change meanwhile.
  static RegionView of_file(int descriptor);
  // The address of the header in a process, from its /proc/PID/maps; 0 where it has none.
  static uint64_t find_in_process(int pid);

  bool valid() const { return !segments_.empty(); }
  const RegionHeader& header() const { return *reinterpret_cast<const RegionHeader*>(segments_[0]); }

  // An entry of `bytes` at ref; null: not within the region.
  const void* at(Ref ref, uint64_t bytes) const;
  template <typename T>
  const T* at(Ref ref) const {
    return static_cast<const T*>(at(ref, sizeof(T)));
  }
  // What a word of an entry is by now, where `word` is what at() showed of it; that, where the owner is gone.
  uint64_t word_now(const std::atomic<uint64_t>& word) const;
  template <typename T>
  const T* root(Root root) const {
    return at<T>(header().roots[static_cast<unsigned>(root)]);
  }

 private:
  // How a memory is read that is not this process's: as pread() does.
  using Read = std::function<ssize_t(void* bytes, size_t size, uint64_t address)>;
  static RegionView copied(uint64_t header_address, Read read);

  Read read_;            // none: this process
  uint64_t copied_ = 0;  // bytes, from the region's begin; all, where it is this process's
  std::vector<const char*> segments_;
  std::vector<uint64_t> addresses_;  // of the copied segments, in their process
  std::vector<std::unique_ptr<char[]>> copies_;
};

}  // namespace prof
