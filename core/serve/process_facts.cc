#include "core/serve/process_facts.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/base/clocks.h"
#include "core/report/module_map.h"

namespace prof {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

int64_t ns_of_ticks(uint64_t ticks) {
  const auto a_second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return static_cast<int64_t>(ticks / a_second * kSecondNs + ticks % a_second * kSecondNs / a_second);
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string line_of(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

bool parse_stat(const std::string& text, uint64_t* start_ticks, uint64_t* cpu_ticks) {
  // The second field is a name in brackets, which may have any of these in it itself.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return false;
  std::istringstream fields(text.substr(name_end + 1));
  constexpr unsigned kFirst = 3;
  constexpr unsigned kUser = 14;
  constexpr unsigned kSystem = 15;
  constexpr unsigned kStart = 22;
  uint64_t user = 0;
  std::string field;
  for (unsigned number = kFirst; fields >> field; ++number) {
    uint64_t value = 0;
    std::from_chars(field.data(), field.data() + field.size(), value);
    if (number == kUser) user = value;
    if (number == kSystem) *cpu_ticks = user + value;
    if (number == kStart) {
      *start_ticks = value;
      return true;
    }
  }
  return false;
}

bool is_blocked(const std::string& status, int signal) {
  constexpr std::string_view kKey = "\nSigBlk:\t";
  const size_t at = status.find(kKey);
  if (at == std::string::npos) return false;
  uint64_t set = 0;
  std::from_chars(status.data() + at + kKey.size(), status.data() + status.size(), set, 16);
  return (set >> (signal - 1) & 1) != 0;
}

ProcessFacts process_facts(int pid, const std::vector<int>& tids) {
  ProcessFacts facts;
  const std::string folder = "/proc/" + std::to_string(pid) + "/";
  facts.command_line = words_of(read_proc_file(folder + "cmdline"));
  facts.host = line_of(read_proc_file("/proc/sys/kernel/hostname"));
  facts.now_unix_ns = clock_ns(CLOCK_REALTIME);
  uint64_t start = 0;
  uint64_t cpu = 0;
  if (parse_stat(read_proc_file(folder + "stat"), &start, &cpu)) {
    facts.started_unix_ns = facts.now_unix_ns - clock_ns(CLOCK_BOOTTIME) + ns_of_ticks(start);
    facts.cpu_ns = ns_of_ticks(cpu);
  }
  for (const int tid : tids) {
    const std::string task = folder + "task/" + std::to_string(tid) + "/";
    if (!is_blocked(read_proc_file(task + "status"), SIGPROF)) continue;
    facts.sigprof_blocked_by.push_back({tid, line_of(read_proc_file(task + "comm"))});
  }
  uint64_t size = 0;
  uint64_t resident = 0;
  std::istringstream(read_proc_file("/proc/self/statm")) >> size >> resident;
  facts.own_memory_bytes = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  facts.own_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  return facts;
}

}  // namespace prof
