#include "core/report/owner_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace prof {
namespace {

constexpr ssize_t kIdentityBytes = offsetof(RegionHeader, used);

int open_memory(int pid) { return open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC); }

}  // namespace

OwnerMemory::OwnerMemory(int pid, uint64_t header_address, const RegionView& region)
    : pid_(pid), header_address_(header_address), region_(region), descriptor_(open_memory(pid)) {
  // It may have been another program's by the time that it was opened.
  is_known_ = is_in_place();
}

OwnerMemory::~OwnerMemory() {
  if (descriptor_ >= 0) close(descriptor_);
}

ssize_t OwnerMemory::read_of_process(uint64_t address, void* bytes, size_t size) const {
  const struct iovec to = {bytes, size};
  const struct iovec from = {reinterpret_cast<void*>(address), size};
  return process_vm_readv(pid_, &to, 1, &from, 1, 0);
}

bool OwnerMemory::is_that_region(const RegionHeader& header) const {
  const RegionHeader& read = region_.header();
  return header.magic.load() == kRegionMagic && header.pid == read.pid &&
         header.start_monotonic_ns == read.start_monotonic_ns;
}

bool OwnerMemory::is_in_place() const {
  RegionHeader now{};
  const ssize_t got = descriptor_ >= 0 ? pread(descriptor_, &now, kIdentityBytes, static_cast<off_t>(header_address_))
                                       : read_of_process(header_address_, &now, kIdentityBytes);
  return got == kIdentityBytes && is_that_region(now);
}

OwnerMemory::Place OwnerMemory::place() const {
  RegionHeader now{};
  const ssize_t got = read_of_process(header_address_, &now, kIdentityBytes);
  if (got == kIdentityBytes && is_that_region(now)) return Place::kept;
  return got < 0 && errno != EFAULT ? Place::unclear : Place::left;
}

uint64_t OwnerMemory::address_of(Root root, size_t offset, size_t bytes) const {
  const Ref ref = region_.header().roots[static_cast<unsigned>(root)];
  // No structure crosses a segment's end. The numbers are the program's, which may have spoiled them: what the view has is within bounds.
  if (region_.at(ref, offset + bytes) == nullptr) return 0;
  const uint64_t at = (uint64_t{ref} << kRefShift) + offset;
  const uint64_t segment = region_.header().segment_address[at >> kSegmentShift].load();
  return segment == 0 ? 0 : segment + (at & (kSegmentBytes - 1));
}

bool OwnerMemory::read_bytes(uint64_t address, void* bytes, size_t size) const {
  if (address == 0 || !is_known_) return false;
  if (descriptor_ >= 0) {
    return pread(descriptor_, bytes, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
  }
  // If the region is there still, it was.
  return read_of_process(address, bytes, size) == static_cast<ssize_t>(size) && is_in_place();
}

bool OwnerMemory::write_bytes(uint64_t address, const void* bytes, size_t size) const {
  if (address == 0 || !is_known_) return false;
  if (descriptor_ >= 0) {
    return pwrite(descriptor_, bytes, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
  }
  if (!is_in_place()) return false;
  const struct iovec from = {const_cast<void*>(bytes), size};
  const struct iovec to = {reinterpret_cast<void*>(address), size};
  return process_vm_writev(pid_, &from, 1, &to, 1, 0) == static_cast<ssize_t>(size);
}

}  // namespace prof
