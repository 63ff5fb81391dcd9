#include "preload/preloadable_file.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/base/raw_syscall.h"
#include "preload/executed_file.h"

namespace prof {
namespace {

constexpr int kMostInterpreters = 4;  // as the kernel has it: a script's may be a script
constexpr size_t kHead = 256;         // what the kernel looks at

bool starts(const char* text, const char* with) { return strncmp(text, with, strlen(with)) == 0; }

const char* name_of(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

// musl's library is its loader, and goes by that name too.
bool is_musl(const char* loader) {
  return starts(name_of(loader), "ld-musl") || strcmp(name_of(loader), "libc.so") == 0;
}

// Leaves the loader's name in `loader`, which is what reads LD_PRELOAD. False: there is none, as in a static program.
template <typename Header, typename Segment, size_t room>
bool find_loader(long fd, const char* head, char (&loader)[room]) {
  constexpr int kMostHeaders = 64;
  Header header;
  memcpy(&header, head, sizeof(header));
  if (header.e_phentsize != sizeof(Segment)) return false;
  for (int i = 0; i < header.e_phnum && i < kMostHeaders; ++i) {
    Segment segment;
    const uint64_t at = header.e_phoff + static_cast<uint64_t>(i) * sizeof(segment);
    if (raw_syscall(SYS_pread64, fd, &segment, sizeof(segment), at) != sizeof(segment)) return false;
    if (segment.p_type != PT_INTERP) continue;
    const size_t bytes = std::min<size_t>(segment.p_filesz, room - 1);
    return raw_syscall(SYS_pread64, fd, loader, bytes, segment.p_offset) > 0;
  }
  return false;
}

Preloading preloading_into_elf(long fd, const char* head, const char* path) {
  char loader[kHead] = {};
  const bool is_loader =
      starts(name_of(path), "ld-linux") || is_musl(path);  // that is executed itself, and given a program
  if (head[EI_CLASS] == ELFCLASS32) {
    const bool is_dynamic = find_loader<Elf32_Ehdr, Elf32_Phdr>(fd, head, loader) || is_loader;
    return is_dynamic ? Preloading::refused : Preloading::left_out;
  }
  Elf64_Ehdr header;
  memcpy(&header, head, sizeof(header));
  const bool has_loader = find_loader<Elf64_Ehdr, Elf64_Phdr>(fd, head, loader);
  if (!has_loader && !is_loader) return Preloading::left_out;
  const bool is_ours = header.e_machine == EM_X86_64 && !is_musl(has_loader ? loader : path);
  return is_ours ? Preloading::done : Preloading::refused;
}

// Leaves the interpreter of a script in `head`.
const char* interpreter_in(char* head) {
  char* name = head + 2;
  while (*name == ' ' || *name == '\t') ++name;
  name[strcspn(name, " \t\n")] = '\0';
  return name;
}

Preloading preloading_into(int folder, const char* path, int depth) {
  struct stat file;
  if (raw_syscall(SYS_newfstatat, folder, path, &file, 0) != 0 || !S_ISREG(file.st_mode)) return Preloading::left_out;
  // In a program with rights of its own nothing is preloaded, and it shall not be handed settings.
  if ((file.st_mode & (S_ISUID | S_ISGID)) != 0) return Preloading::left_out;
  const long fd = raw_syscall(SYS_openat, folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Preloading::left_out;
  if (raw_syscall(SYS_fgetxattr, fd, "security.capability", nullptr, 0) > 0) {
    raw_syscall(SYS_close, fd);
    return Preloading::left_out;
  }
  char head[kHead + 1] = {};
  const long bytes = raw_syscall(SYS_pread64, fd, head, kHead, 0);
  const bool is_script = bytes > 2 && starts(head, "#!");
  const bool is_elf = bytes >= static_cast<long>(sizeof(Elf64_Ehdr)) && starts(head, ELFMAG);
  // Any other text is run by a shell, where at all.
  Preloading preloading = bytes < 0 ? Preloading::left_out : Preloading::done;
  if (is_elf) preloading = preloading_into_elf(fd, head, path);
  raw_syscall(SYS_close, fd);
  if (!is_script) return preloading;
  return depth < kMostInterpreters ? preloading_into(AT_FDCWD, interpreter_in(head), depth + 1) : Preloading::left_out;
}

}  // namespace

Preloading preloading_into(const char* path) { return preloading_into(AT_FDCWD, path); }

Preloading preloading_into(int folder, const char* path) {
  return path == nullptr ? Preloading::left_out : preloading_into(folder, path, 0);
}

Preloading preloading_into(int fd) {
  char path[32] = "/proc/self/fd/";
  *std::to_chars(path + strlen(path), path + sizeof(path) - 1, fd).ptr = '\0';
  return preloading_into(path);
}

Preloading preloading_into_found(const char* file) {
  PathRoom room;
  const char* const path = find_executed(file, &room);
  return path == nullptr ? Preloading::left_out : preloading_into(path);
}

}  // namespace prof
