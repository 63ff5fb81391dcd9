#include "preload/preloadable_file.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>

#include "core/base/raw_syscall.h"
#include "preload/executed_file.h"

namespace prof {
namespace {

constexpr int kMostInterpreters = 4;  // as the kernel has it: a script's may be a script
constexpr int kMostHeaders = 64;
constexpr size_t kHead = 256;  // what the kernel looks at

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

// The parts of a program's file that say what libraries it needs.
class NeededLibraries {
 public:
  NeededLibraries(long fd, const Elf64_Ehdr& header) : fd_(fd), header_(header) {}

  // One whose name begins so, among the first.
  bool has(const char* name) {
    constexpr unsigned kMostEntries = 512;
    Elf64_Dyn entries[16];
    Elf64_Phdr dynamic;
    if (!find(
            PT_DYNAMIC, [](const Elf64_Phdr&) { return true; }, &dynamic))
      return false;
    for (unsigned i = 0; i < kMostEntries; ++i) {
      constexpr unsigned kChunk = std::size(entries);
      if (i % kChunk == 0 && !read(entries, sizeof(entries), dynamic.p_offset + i * sizeof(Elf64_Dyn))) break;
      const Elf64_Dyn& entry = entries[i % kChunk];
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_STRTAB) strings_ = entry.d_un.d_ptr;
      if (entry.d_tag == DT_NEEDED && count_ < std::size(needed_)) needed_[count_++] = entry.d_un.d_val;
    }
    Elf64_Phdr segment;
    const auto has_strings = [this](const Elf64_Phdr& each) { return strings_ - each.p_vaddr < each.p_filesz; };
    if (count_ == 0 || !find(PT_LOAD, has_strings, &segment)) return false;
    return std::any_of(needed_, needed_ + count_, [&](uint64_t at) {
      char text[16] = {};
      return read(text, sizeof(text) - 1, segment.p_offset + (strings_ - segment.p_vaddr) + at) && starts(text, name);
    });
  }

 private:
  bool read(void* to, size_t bytes, uint64_t offset) const {
    return raw_syscall(SYS_pread64, fd_, to, bytes, offset) == static_cast<long>(bytes);
  }
  template <typename Is>
  bool find(uint32_t type, Is is, Elf64_Phdr* segment) const {
    for (uint64_t i = 0; i < header_.e_phnum && i < kMostHeaders; ++i) {
      if (!read(segment, sizeof(*segment), header_.e_phoff + i * sizeof(*segment))) return false;
      if (segment->p_type == type && is(*segment)) return true;
    }
    return false;
  }

  const long fd_;
  const Elf64_Ehdr& header_;
  uint64_t strings_ = 0;
  uint64_t needed_[8] = {};
  unsigned count_ = 0;
};

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
  if (!is_ours) return Preloading::refused;
  return NeededLibraries(fd, header).has("libasan.so") ? Preloading::needs_first : Preloading::done;
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
