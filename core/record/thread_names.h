// Thread names, each stored once. Signal-safe and lock-free, like the stack table.
#pragma once

#include "core/base/region.h"
#include "core/record/thread_table.h"

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

// The name of the calling thread, the slot's, for so many ticks more. The kernel is asked again once a name has served
// keep_ticks of them, or a name was set. 0: no room.
Ref own_thread_name(ThreadSlot* slot, uint64_t ticks, uint64_t keep_ticks);

// Some thread of this process has a new name.
void thread_names_changed();

}  // namespace prof
