// The user and the groups of a thread of libprof's own, or of a process of libprof's: those that the program has now. The C library
// changes them in all threads that it knows, and these it does not know. Signal-safe: raw system calls.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <cstring>

#include "core/base/raw_syscall.h"

namespace prof {

// The numbers behind a line's name ("Uid:") in a /proc/PID/status; how many there are, at most `most`.
inline unsigned numbers_of_status(const char* text, const char* name, uint32_t* numbers, unsigned most) {
  const char* line = strstr(text, name);
  if (line == nullptr) return 0;
  unsigned count = 0;
  for (const char* c = line + strlen(name); *c != '\n' && *c != '\0' && count < most;) {
    if (*c < '0' || *c > '9') {
      ++c;
      continue;
    }
    uint32_t number = 0;
    for (; *c >= '0' && *c <= '9'; ++c) number = number * 10 + static_cast<uint32_t>(*c - '0');
    numbers[count++] = number;
  }
  return count;
}

// Takes what the process of a /proc/PID/status has, where the caller has more: it was root's and is no longer. Only the calling thread
// is changed.
inline void take_rights_of(const char* status) {
  constexpr unsigned kMostGroups = 64;
  const long fd = raw_syscall(SYS_open, status, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  char text[4096];
  const long bytes = raw_syscall(SYS_read, fd, text, sizeof(text) - 1);
  raw_syscall(SYS_close, fd);
  if (bytes <= 0) return;
  text[bytes] = '\0';
  uint32_t users[4];
  uint32_t groups[4];
  uint32_t others[kMostGroups];
  if (numbers_of_status(text, "\nUid:", users, 4) != 4 || numbers_of_status(text, "\nGid:", groups, 4) != 4) return;
  // What is only lent is taken back by the program later, and would not be here.
  const bool is_for_good = users[0] != 0 && users[1] != 0 && users[2] != 0;
  if (!is_for_good || raw_syscall(SYS_geteuid) != 0) return;
  const unsigned count = numbers_of_status(text, "\nGroups:", others, kMostGroups);
  raw_syscall(SYS_setgroups, count, others);
  raw_syscall(SYS_setresgid, groups[0], groups[1], groups[2]);
  raw_syscall(SYS_setresuid, users[0], users[1], users[2]);
}

}  // namespace prof
