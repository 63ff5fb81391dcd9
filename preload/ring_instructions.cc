#include "preload/ring_instructions.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/raw_syscall.h"
#include "preload/ring_calls.h"
#include "preload/signals_blocked.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" const char _end[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

constexpr unsigned char kNumber[] = {0xb8, 0xaa, 0x01, 0x00, 0x00};
constexpr unsigned char kSyscall[] = {0x0f, 0x05};

constexpr size_t kLineBytes = 4352;  // a path is no longer than 4096
constexpr size_t kCodeBytes = 64 * 1024;
std::atomic<int> g_looking_pid{0};  // of who is at it: a child of fork is not
char g_lines[kLineBytes];
unsigned char g_code[kCodeBytes];

struct Mapping {
  uint64_t begin = 0, end = 0, offset = 0;
  std::string_view rights;
  bool is_named_by_kernel = false;  // [vdso]
  const char* path = nullptr;       // null: of no file
};

uint64_t take_number(std::string_view* line) {
  uint64_t number = 0;
  while (!line->empty()) {
    const char c = line->front();
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) break;
    number = number << 4 | static_cast<uint64_t>(digit);
    line->remove_prefix(1);
  }
  return number;
}

void skip(std::string_view* line, size_t bytes) { line->remove_prefix(std::min(bytes, line->size())); }

// 55d0a8a00000-55d0a8b00000 r-xp 00002000 08:01 1234    /usr/bin/fio
Mapping mapping_of(std::string_view line) {
  Mapping mapping;
  mapping.begin = take_number(&line);
  skip(&line, 1);
  mapping.end = take_number(&line);
  skip(&line, 1);
  mapping.rights = line.substr(0, 4);
  skip(&line, 5);
  mapping.offset = take_number(&line);
  mapping.is_named_by_kernel = line.find('[') < line.find('/');
  const size_t slash = line.find('/');
  if (slash != std::string_view::npos) mapping.path = line.data() + slash;
  return mapping;
}

// But for those of which libprof knows beforehand what they call, or that call no ring. What is of no file may be the program's own code, which
// it has moved to huge pages.
bool is_looked_at(const Mapping& mapping) {
  if (mapping.rights != "r-xp" || mapping.is_named_by_kernel) return false;
  const auto own = reinterpret_cast<uint64_t>(__ehdr_start);
  if (mapping.begin < reinterpret_cast<uint64_t>(_end) && own < mapping.end) return false;
  if (mapping.path == nullptr) return true;
  const std::string_view path = mapping.path;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const auto begins = [&](std::string_view known) { return name.substr(0, known.size()) == known; };
  if (begins("liburing.so")) return !ring_calls_are_known();
  constexpr std::string_view kWithout[] = {"libc.so.", "libc-2.", "ld-linux"};
  return std::none_of(std::begin(kWithout), std::end(kWithout), begins);
}

// The mapping's code from its file, so that it does not become the process's memory; or from there where the file is not to be had.
class Code {
 public:
  explicit Code(const Mapping& mapping) : mapping_(mapping) {
    struct stat st;
    const bool is_file = mapping.path != nullptr && raw_syscall(SYS_newfstatat, AT_FDCWD, mapping.path, &st, 0) == 0 &&
                         S_ISREG(st.st_mode);
    if (is_file) file_ = raw_syscall(SYS_openat, AT_FDCWD, mapping.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  }
  ~Code() {
    if (file_ >= 0) raw_syscall(SYS_close, file_);
  }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  // Into g_code; how much there was.
  size_t copy(uint64_t from, size_t bytes) const {
    const uint64_t offset = mapping_.offset + (from - mapping_.begin);
    long copied = file_ >= 0 ? raw_syscall(SYS_pread64, file_, g_code, bytes, offset) : -1;
    if (copied <= 0) {
      const struct iovec local = {g_code, bytes};
      const struct iovec remote = {reinterpret_cast<void*>(from), bytes};
      // By the kernel, which refuses what has gone meanwhile.
      copied = raw_syscall(SYS_process_vm_readv, raw_getpid(), &local, 1, &remote, 1, 0);
    }
    return copied > 0 ? static_cast<size_t>(copied) : 0;
  }

 private:
  const Mapping& mapping_;
  long file_ = -1;
};

bool mapping_holds_ring_call(const Mapping& mapping) {
  const Code code(mapping);
  for (uint64_t at = mapping.begin; at < mapping.end;) {
    const size_t wanted = std::min<uint64_t>(kCodeBytes, mapping.end - at);
    const size_t copied = code.copy(at, wanted);
    if (holds_ring_call(g_code, copied)) return true;
    if (copied < wanted || wanted < kCodeBytes) return false;
    at += kCodeBytes - kRingCallBytes;  // one that lies across the end
  }
  return false;
}

bool lines_hold_ring_call(int maps) {
  size_t bytes = 0;
  for (;;) {
    const long more = raw_syscall(SYS_read, maps, g_lines + bytes, sizeof(g_lines) - bytes);
    if (more <= 0) return false;
    bytes += static_cast<size_t>(more);
    std::string_view lines(g_lines, bytes);
    for (size_t end; (end = lines.find('\n')) != std::string_view::npos; lines.remove_prefix(end + 1)) {
      g_lines[lines.data() - g_lines + static_cast<ptrdiff_t>(end)] = '\0';  // of the path
      const Mapping mapping = mapping_of(lines.substr(0, end));
      if (is_looked_at(mapping) && mapping_holds_ring_call(mapping)) return true;
    }
    if (lines.size() == sizeof(g_lines)) return false;  // no line is so long
    memmove(g_lines, lines.data(), lines.size());
    bytes = lines.size();
  }
}

}  // namespace

bool holds_ring_call(const unsigned char* code, size_t bytes) {
  const unsigned char* const end = code + bytes;
  for (const unsigned char* at = code; static_cast<size_t>(end - at) >= sizeof(kNumber);) {
    // By its rarest byte.
    const auto* found =
        static_cast<const unsigned char*>(memchr(at + 1, kNumber[1], static_cast<size_t>(end - at) - 1));
    if (found == nullptr) return false;
    const unsigned char* const start = found - 1;
    if (static_cast<size_t>(end - start) < sizeof(kNumber)) return false;
    at = found;
    if (memcmp(start, kNumber, sizeof(kNumber)) != 0) continue;
    const unsigned char* const arguments = start + sizeof(kNumber);
    const size_t rest = std::min(kRingCallBytes - sizeof(kNumber), static_cast<size_t>(end - arguments));
    if (std::search(arguments, arguments + rest, std::begin(kSyscall), std::end(kSyscall)) != arguments + rest)
      return true;
  }
  return false;
}

bool program_holds_ring_call() {
  // A handler that left by a jump would leave the descriptors open.
  const SignalsBlocked blocked;
  const int pid = raw_getpid();
  int other = g_looking_pid.load(std::memory_order_relaxed);
  if (other == pid || !g_looking_pid.compare_exchange_strong(other, pid, std::memory_order_acquire)) return false;
  const long maps = raw_syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
  const bool holds = maps >= 0 && lines_hold_ring_call(static_cast<int>(maps));
  if (maps >= 0) raw_syscall(SYS_close, maps);
  g_looking_pid.store(0, std::memory_order_release);
  return holds;
}

}  // namespace prof
