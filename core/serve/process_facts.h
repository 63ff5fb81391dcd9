// What /proc says of a live process, and of the one that looks at it. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace prof {

struct BlockingThread {
  int tid = 0;
  std::string name;
};

// Numbers are 0, and texts empty, where /proc does not say.
struct ProcessFacts {
  std::vector<std::string> command_line;
  std::string host;  // the machine's name
  int64_t started_unix_ns = 0;
  int64_t now_unix_ns = 0;
  int64_t cpu_ns = 0;                              // that it has used, kernel included
  std::vector<BlockingThread> sigprof_blocked_by;  // of the threads asked about: these get no tick while they block it
  uint64_t own_memory_bytes = 0;                   // of the calling process: resident
  int64_t own_cpu_ns = 0;
};

// tids: the program's threads (Snapshot::tids).
ProcessFacts process_facts(int pid, const std::vector<int>& tids);

// A /proc/PID/stat's start and CPU time, in clock ticks. False: it is none.
bool parse_stat(const std::string& text, uint64_t* start_ticks, uint64_t* cpu_ticks);
// Whether a /proc/PID/task/TID/status says that a signal is blocked.
bool is_blocked(const std::string& status, int signal);

}  // namespace prof
