#include "core/base/raw_log.h"

#include <sys/poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

bool g_is_of_child = false;

LogLevel g_level = LogLevel::warn;
uint64_t g_stderr_device = 0;
uint64_t g_stderr_inode = 0;

// Whether descriptor 2 is still the stderr that the process started with.
bool is_there(struct stat* st) {
  return raw_syscall(SYS_fstat, 2, st) >= 0 && st->st_dev == g_stderr_device && st->st_ino == g_stderr_inode;
}

// A file that may not grow so far: the kernel would send SIGXFSZ, which kills.
bool may_grow(const struct stat& st, unsigned bytes) {
  struct rlimit64 limit;
  constexpr int kFromHere = 1;  // SEEK_CUR
  const long here = raw_syscall(SYS_lseek, 2, 0, kFromHere);
  const long position = here > st.st_size ? here : st.st_size;
  return raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, nullptr, &limit) == 0 &&
         static_cast<uint64_t>(position) + bytes <= limit.rlim_cur;
}

// Whether somebody reads what is no file, and has left room: for a whole line where it is a pipe (it has at least PIPE_BUF then) or a
// socket; a terminal may have less. Where a filter refuses the question, nothing is known against it.
bool takes_a_line() {
  struct pollfd out = {2, POLLOUT, 0};
  const struct timespec at_once = {0, 0};
  const long ready = raw_syscall(SYS_ppoll, &out, 1, &at_once, nullptr, 0);
  if (ready == 0 || ready == -EINTR) return false;
  return ready < 0 || (out.revents & (POLLOUT | POLLERR | POLLHUP)) == POLLOUT;
}

// The reader may be gone by now: SIGPIPE, which kills. And a terminal may stop who writes in the background: SIGTTOU; who blocks that is
// let through. Neither is the program's.
void write_without_signals(const char* text, unsigned bytes) {
  constexpr int kBlock = 0;    // SIG_BLOCK
  constexpr int kSetMask = 2;  // SIG_SETMASK
  constexpr uint64_t kPipe = uint64_t{1} << (13 - 1);
  constexpr uint64_t kBackground = uint64_t{1} << (22 - 1);
  const uint64_t blocked = kPipe | kBackground;
  uint64_t before = 0;
  uint64_t pending = 0;
  const bool is_blocked = raw_syscall(SYS_rt_sigprocmask, kBlock, &blocked, &before, sizeof(blocked)) == 0;
  const bool is_known = raw_syscall(SYS_rt_sigpending, &pending, sizeof(pending)) == 0;
  const long written = raw_syscall(SYS_write, 2, text, bytes);
  if (written == -EPIPE && is_blocked && is_known && (pending & kPipe) == 0) {
    const struct timespec at_once = {0, 0};
    raw_syscall(SYS_rt_sigtimedwait, &kPipe, nullptr, &at_once, sizeof(kPipe));
  }
  if (is_blocked) raw_syscall(SYS_rt_sigprocmask, kSetMask, &before, nullptr, sizeof(before));
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

bool log_stderr_is_there() {
  struct stat st;
  return is_there(&st);
}

bool log_enabled(LogLevel level) { return level <= g_level; }

LogLine::LogLine(LogLevel level) : enabled_(log_enabled(level)) { *this << "libprof: "; }

LogLine::~LogLine() {
  struct stat st;
  if (!enabled_ || !is_there(&st)) return;
  const unsigned bytes = length_ + 1;
  text_[length_] = '\n';
  // In one call: lines of several processes must not be cut into each other.
  if (S_ISREG(st.st_mode)) {
    if (may_grow(st, bytes)) raw_syscall(SYS_write, 2, text_, bytes);
  } else if (takes_a_line()) {
    write_without_signals(text_, bytes);
  }
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
