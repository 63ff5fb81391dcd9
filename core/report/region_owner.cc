#include "core/report/region_owner.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>

#include "core/report/module_map.h"

namespace prof {
namespace {

constexpr std::string_view kPrefix = "libprof.";
constexpr std::string_view kSuffix = ".region";
constexpr uint64_t kFirstPidNamespace = 0xeffffffc;  // the machine's own (kernel: PROC_PID_INIT_INO)

std::string folder_of(int pid) { return "/proc/" + std::to_string(pid) + "/"; }

// The state's letter and the 22nd field of a stat file: the name, in brackets, may have any character in it.
bool parse_stat(const std::string& text, char* state, uint64_t* start_ticks) {
  size_t at = text.rfind(')');
  if (at == std::string::npos || at + 2 >= text.size()) return false;
  *state = text[at + 2];
  at += 2;
  for (int field = 3; field < 22; ++field) {
    at = text.find(' ', at);
    if (at == std::string::npos) return false;
    ++at;
  }
  return std::from_chars(text.data() + at, text.data() + text.size(), *start_ticks).ec == std::errc();
}

uint64_t namespace_of_self() {
  char text[64];
  const ssize_t bytes = readlink("/proc/self/ns/pid", text, sizeof(text));
  const std::string_view whole(text, bytes < 0 ? 0 : static_cast<size_t>(bytes));
  const size_t bracket = whole.find('[');
  uint64_t inode = 0;
  if (bracket != std::string_view::npos) {
    std::from_chars(whole.data() + bracket + 1, whole.data() + whole.size(), inode);
  }
  return inode;
}

std::string boot_id() {
  std::string text = read_proc_file("/proc/sys/kernel/random/boot_id");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() < 40 ? text : std::string();
}

template <typename Visit>  // bool(int): whether to go on
void for_each_number(const std::string& folder, Visit visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(folder.c_str()), closedir);
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory.get())) {
    const int number = atoi(entry->d_name);
    if (number > 0 && !visit(number)) return;
  }
}

// Whether a process has the file mapped; nothing: that may not be read. Its main thread may have ended, and has no mappings then.
std::optional<bool> has_mapped(int pid, std::string_view file_name) {
  std::optional<bool> result;
  for_each_number(folder_of(pid) + "task", [&](int tid) {
    const std::string maps = read_proc_file(folder_of(pid) + "task/" + std::to_string(tid) + "/maps");
    if (maps.empty()) return true;
    result = maps.find(file_name) != std::string::npos;
    return false;
  });
  return result;
}

// All threads have ended: nobody has reaped it yet.
bool is_zombie(int pid) {
  bool lives = false;
  for_each_number(folder_of(pid) + "task", [&](int tid) {
    char state = 'X';
    uint64_t ticks;
    parse_stat(read_proc_file(folder_of(pid) + "task/" + std::to_string(tid) + "/stat"), &state, &ticks);
    lives = state != 'Z' && state != 'X';
    return !lives;
  });
  return !lives;
}

OwnerFate fate_in_own_namespace(int pid, const ProcessIdentity& identity, std::string_view file_name) {
  const std::string stat = read_proc_file(folder_of(pid) + "stat");
  if (stat.empty()) {
    // Not there, or /proc does not show it.
    return kill(pid, 0) != 0 && errno == ESRCH ? OwnerFate::gone : OwnerFate::lives;
  }
  char state = '\0';
  uint64_t start_ticks = 0;
  if (!parse_stat(stat, &state, &start_ticks)) return OwnerFate::lives;
  if (identity.start_ticks != 0 && start_ticks != identity.start_ticks) return OwnerFate::gone;
  const std::optional<bool> mapped = has_mapped(pid, file_name);
  if (!mapped) return is_zombie(pid) ? OwnerFate::gone : OwnerFate::lives;
  return *mapped ? OwnerFate::lives : OwnerFate::replaced;
}

}  // namespace

ProcessIdentity identity_of_self() {
  ProcessIdentity identity;
  char state;
  parse_stat(read_proc_file("/proc/self/stat"), &state, &identity.start_ticks);
  identity.pid_namespace = namespace_of_self();
  identity.boot_id = boot_id();
  return identity;
}

std::string region_file_name(int pid, int64_t number) {
  return std::string(kPrefix) + std::to_string(pid) + "." + std::to_string(number) + std::string(kSuffix);
}

bool is_region_file_name(std::string_view name) { return name.starts_with(kPrefix) && name.ends_with(kSuffix); }

bool is_of_own_namespace(const ProcessIdentity& identity) {
  return identity.pid_namespace != 0 && identity.pid_namespace == namespace_of_self();
}

OwnerFate fate_of_owner(int pid, const ProcessIdentity& identity, std::string_view file_name) {
  if (!identity.boot_id.empty() && identity.boot_id != boot_id()) return OwnerFate::gone;
  const uint64_t own = namespace_of_self();
  if (identity.pid_namespace == own || identity.pid_namespace == 0) {
    return fate_in_own_namespace(pid, identity, file_name);
  }
  // Another's numbers say nothing here; who has it mapped can be seen from the machine's own namespace only.
  OwnerFate fate = own == kFirstPidNamespace ? OwnerFate::gone : OwnerFate::unknown;
  for_each_number("/proc", [&](int number) {
    if (has_mapped(number, file_name).value_or(false)) fate = OwnerFate::lives;
    return fate != OwnerFate::lives;
  });
  return fate;
}

}  // namespace prof
