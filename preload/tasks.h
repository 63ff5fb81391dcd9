// The threads of this process as the kernel lists them. Signal-safe: raw system calls.
#pragma once

#include <fcntl.h>

#include <cstdint>

#include "core/base/raw_syscall.h"
#include "core/record/thread_table.h"
#include "preload/helper_thread.h"

namespace prof {

// Calls visit(tid) for every thread of the process but libprof's own.
template <typename Visit>
void for_each_task(Visit visit) {
  const long fd = raw_syscall(SYS_open, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  alignas(8) char buffer[512];
  long bytes;
  while ((bytes = raw_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
    // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name.
    for (long at = 0; at < bytes;) {
      int tid = 0;
      for (const char* c = buffer + at + 19; *c >= '0' && *c <= '9'; ++c) tid = tid * 10 + (*c - '0');
      if (tid != 0 && !is_helper(tid)) visit(tid);
      at += *reinterpret_cast<const uint16_t*>(buffer + at + 16);
    }
  }
  raw_syscall(SYS_close, fd);
}

inline ThreadSlot* find_slot(int tid) {
  ThreadSlot* found = nullptr;
  for_each_thread_slot([&](ThreadSlot* slot) {
    if (slot->tid.load(std::memory_order_relaxed) == tid) found = slot;
  });
  return found;
}

}  // namespace prof
