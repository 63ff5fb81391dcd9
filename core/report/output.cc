#include "core/report/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/report/file_name.h"
#include "core/report/module_map.h"

namespace prof {
namespace {

// Whether a zero-separated environment has an entry that begins so (and ends so, where it is to be whole).
bool has_entry(const std::string& environment, const std::string& entry, bool whole) {
  for (size_t at = 0; at < environment.size();) {
    const size_t end = std::min(environment.find('\0', at), environment.size());
    const std::string_view present(environment.data() + at, end - at);
    if (whole ? present == entry : present.starts_with(entry)) return true;
    at = end + 1;
  }
  return false;
}

// Whether the parent began its life with the same profile setting and a preload: it then has the plain name. No variable
// of ours is put into the program's environment to know it by, since programs print and compare theirs.
bool parent_is_profiled(const Config& config) {
  const std::string environment = read_proc_file("/proc/" + std::to_string(getppid()) + "/environ");
  const std::string setting = config.cpu_file.empty() ? "PROF_DIR=" + std::string(config.directory)
                                                      : "PROF_CPU=" + std::string(config.cpu_file);
  return has_entry(environment, setting, true) && has_entry(environment, "LD_PRELOAD=", false) &&
         environment.find("libprof.so") != std::string::npos;
}

bool set_path(const std::string& path, Output* output) {
  if (path.size() >= sizeof(output->path)) return false;
  memcpy(output->path, path.c_str(), path.size() + 1);
  return true;
}

}  // namespace

bool output_prepare(const Config& config, Output* output) {
  const char* variable = config.cpu_file.empty() ? "PROF_DIR" : "PROF_CPU";
  const std::string_view value = config.cpu_file.empty() ? config.directory : config.cpu_file;
  std::string pattern(value);
  if (config.cpu_file.empty()) pattern += "/%e.%p.cpu.pb.gz";
  output->started_unix_ns = clock_ns(CLOCK_REALTIME);
  FileNameFacts facts = file_name_facts_of_self(output->started_unix_ns);
  std::string path;
  std::string error;
  if (!expand_file_name(pattern, facts, &path, &error)) {
    LogLine(LogLevel::error) << variable << ": '" << value << "' cannot be used; " << error << " (no CPU profile)";
    return false;
  }
  if (path.front() != '/') {
    char directory[4096];
    if (getcwd(directory, sizeof(directory)) != nullptr) path = std::string(directory) + "/" + path;
  }
  output->is_child = parent_is_profiled(config);
  // With %p in it the name is the process's own as it is.
  if (output->is_child && pattern.find("%p") == std::string::npos) {
    path = insert_before_suffix(path, std::to_string(getpid()));
  }
  if (set_path(path, output)) return true;
  LogLine(LogLevel::error) << variable << ": '" << value
                           << "' cannot be used; the name is longer than the kernel allows";
  return false;
}

void output_for_child(Output* output) {
  output->is_child = true;
  output->started_unix_ns = clock_ns(CLOCK_REALTIME);
  set_path(insert_before_suffix(output->path, std::to_string(getpid())), output);
}

}  // namespace prof
