#include "preload/close_from.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

// What a directory's stream of the kernel consists of (getdents64(2)).
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t bytes;
  unsigned char type;
  char name[];
};

// False: there is no such folder.
bool close_listed(unsigned first) {
  const long folder = raw_syscall(SYS_open, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  alignas(Entry) char entries[1024];
  bool closed = true;
  // What is closed moves the others in the list: until a whole round finds none.
  while (closed) {
    closed = false;
    raw_syscall(SYS_lseek, folder, 0, SEEK_SET);
    for (long bytes; (bytes = raw_syscall(SYS_getdents64, folder, entries, sizeof(entries))) > 0;) {
      for (long at = 0; at < bytes;) {
        const auto* entry = reinterpret_cast<const Entry*>(entries + at);
        unsigned descriptor = 0;
        const bool is_number =
            std::from_chars(entry->name, entry->name + strlen(entry->name), descriptor).ec == std::errc();
        if (is_number && descriptor >= first && descriptor != static_cast<unsigned>(folder)) {
          closed = raw_syscall(SYS_close, descriptor) == 0 || closed;
        }
        at += entry->bytes;
      }
    }
  }
  if (static_cast<unsigned>(folder) >= first) raw_syscall(SYS_close, folder);
  return true;
}

}  // namespace

void close_from(unsigned first) {
  if (raw_syscall(SYS_close_range, first, ~0u, 0) == 0) return;
  // Before Linux 5.9, or a filter that does not know it.
  if (close_listed(first)) return;
  constexpr uint64_t kMost = 65536;
  struct rlimit64 limit = {kMost, kMost};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  for (unsigned descriptor = first; descriptor < std::min<uint64_t>(limit.rlim_cur, kMost); ++descriptor) {
    raw_syscall(SYS_close, descriptor);
  }
}

}  // namespace prof
