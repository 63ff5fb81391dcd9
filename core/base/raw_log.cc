#include "core/base/raw_log.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

bool g_is_of_child = false;

LogLevel g_level = LogLevel::warn;
uint64_t g_stderr_device = 0;
uint64_t g_stderr_inode = 0;

// Whether a line may be written to what descriptor 2 is now.
bool may_write(unsigned bytes) {
  struct stat st;
  if (raw_syscall(SYS_fstat, 2, &st) < 0) return false;
  if (st.st_dev != g_stderr_device || st.st_ino != g_stderr_inode) return false;
  if (!S_ISREG(st.st_mode)) return true;
  // A file that may not grow so far: the kernel would send SIGXFSZ, which kills.
  struct rlimit64 limit;
  constexpr int kFromHere = 1;  // SEEK_CUR
  const long here = raw_syscall(SYS_lseek, 2, 0, kFromHere);
  const long position = here > st.st_size ? here : st.st_size;
  return raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, nullptr, &limit) == 0 &&
         static_cast<uint64_t>(position) + bytes <= limit.rlim_cur;
}

}  // namespace

void log_start(LogLevel level) {
  g_level = level;
  struct stat st;
  if (raw_syscall(SYS_fstat, 2, &st) < 0) return;
  g_stderr_device = st.st_dev;
  g_stderr_inode = st.st_ino;
}

LogLevel log_level_of_program() { return g_is_of_child ? LogLevel::info : LogLevel::warn; }

void log_is_of_child() { g_is_of_child = true; }

bool log_stderr_is_there() { return may_write(0); }

bool log_enabled(LogLevel level) { return level <= g_level; }

LogLine::LogLine(LogLevel level) : enabled_(log_enabled(level)) { *this << "libprof: "; }

LogLine::~LogLine() {
  if (!enabled_ || !may_write(length_ + 1)) return;
  text_[length_] = '\n';
  // One call: lines of several processes must not be cut into each other.
  raw_syscall(SYS_write, 2, text_, length_ + 1);
}

LogLine& LogLine::operator<<(std::string_view text) {
  for (const char c : text) {
    if (length_ + 1 >= kCapacity) break;
    // A value from the environment may hold anything; a log line stays one line.
    text_[length_++] = (c >= 0 && c < ' ') ? '?' : c;
  }
  return *this;
}

LogLine& LogLine::operator<<(int64_t number) {
  if (number < 0) return *this << "-" << (0 - static_cast<uint64_t>(number));
  return *this << static_cast<uint64_t>(number);
}

LogLine& LogLine::operator<<(uint64_t number) {
  char digits[20];
  unsigned n = sizeof(digits);
  do {
    digits[--n] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return *this << std::string_view(digits + n, sizeof(digits) - n);
}

}  // namespace prof
