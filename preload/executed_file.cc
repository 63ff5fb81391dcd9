#include "preload/executed_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "core/base/raw_syscall.h"

namespace prof {

bool is_executable(int folder, const char* path) {
  // Not with the rights of the real user, as access() would ask.
  constexpr int kEffectiveRights = 0x200;  // AT_EACCESS
  const long answer = raw_syscall(SYS_faccessat2, folder, path, X_OK, kEffectiveRights);
  // Before Linux 5.8, or a filter that does not know it: whose rights are others' than the real user's is asked for those.
  const bool is_unknown = answer == -ENOSYS || answer == -EPERM;
  if (answer != 0 && !(is_unknown && raw_syscall(SYS_faccessat, folder, path, X_OK) == 0)) return false;
  struct stat file;
  return raw_syscall(SYS_newfstatat, folder, path, &file, 0) == 0 && S_ISREG(file.st_mode);
}

bool is_executable(const char* path) { return path != nullptr && is_executable(AT_FDCWD, path); }

bool begins_as_program(const char* path) {
  const long fd = raw_syscall(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return true;
  char head[4] = {};
  const long bytes = raw_syscall(SYS_read, fd, head, sizeof(head));
  raw_syscall(SYS_close, fd);
  return bytes < 0 || memcmp(head, ELFMAG, SELFMAG) == 0 || memcmp(head, "#!", 2) == 0;
}

const char* find_executed(const char* file, PathRoom* room) {
  if (file == nullptr || *file == '\0') return nullptr;
  if (strchr(file, '/') != nullptr) return is_executable(file) ? file : nullptr;
  const char* folders = getenv("PATH");
  if (folders == nullptr) folders = "/bin:/usr/bin";
  const size_t length = strlen(file);
  // The C library looks in the same order, and goes on where it may not execute what it found.
  for (;;) {
    const auto bytes = static_cast<size_t>(strchrnul(folders, ':') - folders);
    if (bytes + 1 + length < sizeof(room->text)) {
      // An empty one is the working folder.
      memcpy(room->text, folders, bytes);
      room->text[bytes] = '/';
      memcpy(room->text + bytes + (bytes == 0 ? 0 : 1), file, length + 1);
      if (is_executable(room->text)) return room->text;
    }
    if (folders[bytes] == '\0') return nullptr;
    folders += bytes + 1;
  }
}

}  // namespace prof
