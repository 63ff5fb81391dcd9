#include "core/report/output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/report/file_name.h"
#include "core/report/file_sink.h"
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

std::string_view value_of(const Config& config, ProfileKind kind) {
  const std::string_view file = config.files[static_cast<unsigned>(kind)];
  return file.empty() ? config.directory : file;
}

// Whether the parent began its life with the same profile settings and a preload: it then has the plain names. Asked where no mark of
// ours has come with the exec (preload/exec_environment.h).
bool parent_is_profiled(const Config& config) {
  const std::string environment = read_proc_file("/proc/" + std::to_string(getppid()) + "/environ");
  constexpr std::string_view kLibrary = "libprof.so";
  if (memmem(environment.data(), environment.size(), kLibrary.data(), kLibrary.size()) == nullptr) return false;
  if (!has_entry(environment, "LD_PRELOAD=", false)) return false;
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    const std::string_view variable = variable_of(config, static_cast<ProfileKind>(kind));
    if (variable.empty()) continue;
    const std::string_view value = value_of(config, static_cast<ProfileKind>(kind));
    if (has_entry(environment, std::string(variable) + "=" + std::string(value), true)) return true;
  }
  return config.serves() && has_entry(environment, "PROF_HTTP=" + std::string(config.http), true);
}

bool set_path(const std::string& path, ProfileKind kind, Output* output) {
  char* const to = output->paths[static_cast<unsigned>(kind)];
  to[0] = '\0';
  if (path.size() >= sizeof(output->paths[0])) return false;
  memcpy(to, path.c_str(), path.size() + 1);
  return true;
}

void prepare_kind(const Config& config, ProfileKind kind, Output* output) {
  const std::string_view variable = variable_of(config, kind);
  const std::string_view value = value_of(config, kind);
  std::string pattern(value);
  if (variable == "PROF_DIR") pattern += "/%e.%p." + std::string(name_of(kind)) + ".pb.gz";
  const FileNameFacts facts = file_name_facts_of_self(output->started_unix_ns);
  std::string path;
  std::string error;
  if (!expand_file_name(pattern, facts, &path, &error)) {
    LogLine(LogLevel::error) << variable << ": '" << value << "' cannot be used; " << error << " (no " << title_of(kind)
                             << " profile)";
    return;
  }
  if (path.front() != '/') {
    char directory[4096];
    if (getcwd(directory, sizeof(directory)) != nullptr) path = std::string(directory) + "/" + path;
  }
  // With %p in it the name is the process's own as it is.
  const bool has_pid = pattern.find("%p") != std::string::npos;
  if (output->is_child && !has_pid) path = insert_before_suffix(path, std::to_string(getpid()));
  output->has_pid[static_cast<unsigned>(kind)] = output->is_child || has_pid;
  for (unsigned other = 0; other < static_cast<unsigned>(kind); ++other) {
    if (path != output->paths[other]) continue;
    LogLine(LogLevel::error) << variable << ": '" << value << "' is the file of another kind already (no "
                             << title_of(kind) << " profile)";
    return;
  }
  if (set_path(path, kind, output)) return;
  LogLine(LogLevel::error) << variable << ": '" << value
                           << "' cannot be used; the name is longer than the kernel allows";
}

std::string_view folder_of(const char* path) {
  const std::string_view whole(path);
  return whole.substr(0, std::max<size_t>(whole.rfind('/'), 1));
}

// 0: a file may be made in this folder. Else why not.
int error_of_folder(const std::string& folder, const char* path) {
  struct stat folder_st;
  const bool is_open = stat(folder.c_str(), &folder_st) == 0 && is_open_to_others(folder_st);
  if (!is_open && access(folder.c_str(), W_OK | X_OK) == 0) return 0;
  const int error = is_open ? kFolderIsOpen : errno;
  // What is no file is written to as it is: /dev/null, /dev/stderr, a pipe.
  struct stat st;
  const bool is_special = stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
  return is_special && access(path, W_OK) == 0 ? 0 : error;
}

void say_folder(const Config& config, const Output& output, std::string_view folder, int error) {
  LogLine line(LogLevel::warn);
  std::string_view said;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    if (output.paths[i][0] == '\0' || folder_of(output.paths[i]) != folder) continue;
    const std::string_view variable = variable_of(config, static_cast<ProfileKind>(i));
    if (variable == said) continue;  // PROF_DIR: it has many kinds
    line << (said.empty() ? "" : ", ") << variable;
    said = variable;
  }
  line << ": nothing can be written to '" << folder << "' as it is now: " << error_text_of(error);
}

// What is written at the end under the very name; of the others each has a number.
void check_name(const Config& config, ProfileKind kind, const char* path) {
  const bool is_numbered = kind == ProfileKind::stacks || (kind == ProfileKind::cpu && config.cpu_signal != 0);
  const std::string_view variable = variable_of(config, kind);
  struct stat st;
  if (is_link_of_system(path)) {
    LogLine(LogLevel::warn) << variable << ": nothing can be written to '" << path
                            << "' as it is now: " << error_text_of(kIsLinkToFile);
    return;
  }
  if (is_numbered || variable == "PROF_DIR" || lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return;
  LogLine(LogLevel::warn) << variable << ": nothing can be written to '" << path
                          << "' as it is now: it is a folder (a file's name is needed)";
}

}  // namespace

void output_prepare(const Config& config, std::optional<bool> is_child, Output* output) {
  output->started_unix_ns = clock_ns(CLOCK_REALTIME);
  output->is_child = is_child ? *is_child : parent_is_profiled(config);
  const ssize_t bytes = readlink("/proc/self/exe", output->executable, sizeof(output->executable) - 1);
  output->executable[std::max<ssize_t>(bytes, 0)] = '\0';
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const auto kind = static_cast<ProfileKind>(i);
    if (config.kinds.has(kind)) prepare_kind(config, kind, output);
  }
}

void output_check_folders(const Config& config, const Output& output) {
  std::string_view checked[kProfileKinds];
  unsigned count = 0;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const char* const path = output.paths[i];
    if (path[0] == '\0') continue;
    check_name(config, static_cast<ProfileKind>(i), path);
    const std::string_view folder = folder_of(path);
    if (std::find(checked, checked + count, folder) != checked + count) continue;
    checked[count++] = folder;
    const int error = error_of_folder(std::string(folder), path);
    if (error != 0) say_folder(config, output, folder, error);
  }
}

void output_for_child(Output* output) {
  output->is_child = true;
  output->started_unix_ns = clock_ns(CLOCK_REALTIME);
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    const char* path = output->paths[kind];
    if (path[0] == '\0') continue;
    set_path(insert_before_suffix(path, std::to_string(getpid())), static_cast<ProfileKind>(kind), output);
    output->has_pid[kind] = true;
  }
}

}  // namespace prof
