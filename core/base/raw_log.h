// One line at a time on the host's stderr, prefix "libprof: ". Signal-safe: a buffer on the stack and write(2).
//
// stdout is never ours. Nor is a descriptor 2 that has become the program's file: a line is written only to the stderr that the process
// started with. (Not to another that is open for appending, either: a log is not to be told from data.) No line harms the program: where
// stderr is a pipe, a socket or a terminal, one that nobody reads or that there is no room for is dropped, and none sends a signal.
#pragma once

#include <cstdint>
#include <string_view>

namespace prof {

enum class LogLevel : int { error = 0, warn = 1, info = 2, debug = 3 };

// Remembers which file stderr is. Called once, before any line.
void log_start(LogLevel level);
bool log_enabled(LogLevel level);
// Whether descriptor 2 is still the stderr that log_start() saw, and not a file that the program has opened since.
bool log_stderr_is_there();

// The level of what the user is to know of the program that he started, but not again of each of its children, which he did not choose and
// whose stderr may be read by their parent: warn, in a child info.
LogLevel log_level_of_program();
void log_is_of_child();

// A line put together from pieces; what does not fit is cut. Written by the destructor.
//   LogLine(LogLevel::warn) << "PROF_CPU_HZ: '" << value << "' is not a number";
class LogLine {
 public:
  explicit LogLine(LogLevel level);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  LogLine& operator<<(std::string_view text);
  LogLine& operator<<(int64_t number);
  LogLine& operator<<(uint64_t number);
  LogLine& operator<<(int number) { return *this << static_cast<int64_t>(number); }
  LogLine& operator<<(unsigned number) { return *this << static_cast<uint64_t>(number); }

 private:
  static constexpr unsigned kCapacity = 400;
  const bool enabled_;
  unsigned length_ = 0;
  char text_[kCapacity];
};

}  // namespace prof
