#include "core/unwind/code_bytes.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "core/base/raw_syscall.h"
#include "core/unwind/readable_memory.h"

namespace prof {
namespace {

// What is found readable word by word, for where the kernel does not copy (without CONFIG_CROSS_MEMORY_ATTACH; some containers;
// qemu-user). What it finds has to stay: nothing may be unloaded meanwhile.
long copy_in_place(uint64_t address, void* to, uint64_t bytes) {
  constexpr uint64_t kWord = 8;
  const uint64_t first = address & ~(kWord - 1);
  for (uint64_t at = first; at < address + bytes; at += kWord) {
    if (!probe_readable(at)) return -EFAULT;
  }
  memcpy(to, reinterpret_cast<const void*>(address), bytes);
  return static_cast<long>(bytes);
}

}  // namespace

bool CodeBytes::read_copy(uint64_t address, void* to, uint64_t bytes) {
  if (bytes > kLineBytes || !is_within(address, bytes)) return false;
  if (address < line_start_ || address + bytes > line_start_ + line_bytes_) {
    const struct iovec line = {line_, std::min(kLineBytes, object_.end - address)};
    const struct iovec from = {reinterpret_cast<void*>(address), line.iov_len};
    long copied = raw_syscall(SYS_process_vm_readv, raw_getpid(), &line, 1, &from, 1, 0);
    if (copied < 0 && copied != -EFAULT && direct_) copied = copy_in_place(address, line_, bytes);
    line_start_ = address;
    line_bytes_ = copied < 0 ? 0 : static_cast<uint64_t>(copied);
    if (bytes > line_bytes_) return false;
  }
  memcpy(to, line_ + (address - line_start_), bytes);
  return true;
}

}  // namespace prof
