#include "core/unwind/code_bytes.h"

#include <sys/uio.h>

#include <algorithm>

#include "core/base/raw_syscall.h"

namespace prof {

bool CodeBytes::read_copy(uint64_t address, void* to, uint64_t bytes) {
  if (bytes > kLineBytes || !is_within(address, bytes)) return false;
  if (address < line_start_ || address + bytes > line_start_ + line_bytes_) {
    const struct iovec line = {line_, std::min(kLineBytes, object_.end - address)};
    const struct iovec from = {reinterpret_cast<void*>(address), line.iov_len};
    const long copied = raw_syscall(SYS_process_vm_readv, raw_getpid(), &line, 1, &from, 1, 0);
    line_start_ = address;
    line_bytes_ = copied < 0 ? 0 : static_cast<uint64_t>(copied);
    if (bytes > line_bytes_) return false;
  }
  memcpy(to, line_ + (address - line_start_), bytes);
  return true;
}

}  // namespace prof
