// Memory that the program names in a call, and that only the kernel would have read: where it is not there, the call answers EFAULT, and is not to
// end in a fault of ours. Signal-safe; a system call (0.1 us) where the bytes are not on the page of the caller's frame.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>

#include "core/unwind/readable_memory.h"

namespace prof {

// bytes: no more than a page.
inline bool is_readable(const void* memory, size_t bytes) {
  constexpr uint64_t kPage = 4096;
  constexpr uint64_t kWord = 8;  // that is what is asked for
  const auto first = reinterpret_cast<uint64_t>(memory);
  const uint64_t last = first + bytes - 1;
  const uint64_t own = reinterpret_cast<uint64_t>(__builtin_frame_address(0)) / kPage;
  if (first / kPage == own && last / kPage == own) return true;
  return last >= first && probe_readable(first & ~(kWord - 1)) && probe_readable(last & ~(kWord - 1));
}

// number: 1 to 64. False also where the set is not there.
inline bool has_signal(const sigset_t* set, int number) {
  return set != nullptr && is_readable(set, sizeof(uint64_t)) && sigismember(set, number) == 1;
}

}  // namespace prof
