// Thread names, each stored once. Signal-safe and lock-free, like the stack table.
#pragma once

#include "core/base/region.h"

namespace prof {

inline constexpr unsigned kThreadNameBytes = 16;  // the kernel's TASK_COMM_LEN, with the final zero
inline constexpr unsigned kThreadNameHeads = 256;

struct ThreadNameTable {
  std::atomic<Ref> heads[kThreadNameHeads];
};

struct ThreadNameEntry {
  Ref next;
  uint32_t reserved;
  char name[kThreadNameBytes];  // ends with a zero
};

// The entry of a name of at most 15 bytes. 0: no room.
Ref intern_thread_name(const char (&name)[kThreadNameBytes]);

// The name of the calling thread, as the kernel has it now.
Ref intern_own_thread_name();

}  // namespace prof
