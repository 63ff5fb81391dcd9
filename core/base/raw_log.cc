#include "core/base/raw_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

LogLevel g_level = LogLevel::warn;
uint64_t g_stderr_device = 0;
uint64_t g_stderr_inode = 0;

bool stderr_identity(uint64_t* device, uint64_t* inode) {
  struct stat st;
  if (raw_syscall(SYS_fstat, 2, &st) < 0) return false;
  *device = st.st_dev;
  *inode = st.st_ino;
  return true;
}

bool may_write() {
  uint64_t device;
  uint64_t inode;
  if (!stderr_identity(&device, &inode)) return false;
  if (device == g_stderr_device && inode == g_stderr_inode) return true;
  const long flags = raw_syscall(SYS_fcntl, 2, F_GETFL);
  return flags >= 0 && (flags & O_APPEND) != 0;
}

}  // namespace

void log_start(LogLevel level) {
  g_level = level;
  stderr_identity(&g_stderr_device, &g_stderr_inode);
}

bool log_enabled(LogLevel level) { return level <= g_level; }

LogLine::LogLine(LogLevel level) : enabled_(log_enabled(level)) { *this << "libprof: "; }

LogLine::~LogLine() {
  if (!enabled_ || !may_write()) return;
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
