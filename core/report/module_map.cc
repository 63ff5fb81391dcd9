#include "core/report/module_map.h"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

namespace prof {
namespace {

constexpr std::string_view kDeleted = " (deleted)";

int g_own_pid = 0;

// Takes a number off the front of text, and one character behind it.
bool take_number(std::string_view* text, int base, uint64_t* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number, base);
  if (error != std::errc()) return false;
  text->remove_prefix(std::min(static_cast<size_t>(end - text->data()) + 1, text->size()));
  return true;
}

// The kernel writes a newline in a path as \012 (and nothing else that way).
std::string unescaped(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path.substr(i).starts_with("\\012")) {
      text += '\n';
      i += 3;
    } else {
      text += path[i];
    }
  }
  return text;
}

// start-end rwxp offset major:minor inode      path
bool parse_line(std::string_view line, Module* module, bool* executable) {
  uint64_t ignored;
  uint64_t inode;
  if (!take_number(&line, 16, &module->start) || !take_number(&line, 16, &module->end) || line.size() < 5) return false;
  *executable = line[2] == 'x';
  line.remove_prefix(5);
  if (!take_number(&line, 16, &module->file_offset) || !take_number(&line, 16, &ignored) ||
      !take_number(&line, 16, &ignored) || !take_number(&line, 10, &inode)) {
    return false;
  }
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (inode != 0 && line.ends_with(kDeleted)) line.remove_suffix(kDeleted.size());
  module->from_file = inode != 0;
  module->path = unescaped(line);
  return module->end > module->start;
}

}  // namespace

void proc_folder_is_own(int pid) { g_own_pid = pid; }

std::string proc_folder(int pid) {
  return pid == getpid() || pid == g_own_pid ? "/proc/thread-self/" : "/proc/" + std::to_string(pid) + "/";
}

std::string read_proc_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text = read_proc_file(fd);
  close(fd);
  return text;
}

std::string read_proc_file(int fd) {
  std::string text;
  lseek(fd, 0, SEEK_SET);
  // The kernel gives a page at a time of most, and a larger one is not to be had for nothing at a start.
  char buffer[8192];
  for (;;) {
    const ssize_t bytes = read(fd, buffer, sizeof(buffer));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    text.append(buffer, static_cast<size_t>(bytes));
  }
  return text;
}

ModuleMap ModuleMap::of_process(int pid) {
  const std::string folder = proc_folder(pid);
  char executable[4096];
  const ssize_t bytes = readlink((folder + "exe").c_str(), executable, sizeof(executable));
  const std::string text = read_proc_file(folder + "maps");
  if (text.empty() && (pid == getpid() || pid == g_own_pid)) return of_loader();
  return of_text(text, {executable, bytes < 0 ? 0 : static_cast<size_t>(bytes)});
}

ModuleMap ModuleMap::of_loader() {
  ModuleMap map;
  const auto add = [](dl_phdr_info* info, size_t, void* to) {
    auto* modules = static_cast<std::vector<Module>*>(to);
    const bool is_vdso = info->dlpi_addr == getauxval(AT_SYSINFO_EHDR) && info->dlpi_addr != 0;
    // The loader has no name for the program itself; the kernel has the one that it was started by.
    const bool is_program = modules->empty() && info->dlpi_name[0] == '\0';
    const char* started_as = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const ElfW(Phdr)& header = info->dlpi_phdr[i];
      if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
      constexpr uint64_t kPage = 4096;
      Module module;
      module.start = (info->dlpi_addr + header.p_vaddr) & ~(kPage - 1);
      module.end = (info->dlpi_addr + header.p_vaddr + header.p_memsz + kPage - 1) & ~(kPage - 1);
      module.file_offset = header.p_offset & ~(kPage - 1);
      module.path = is_vdso ? "[vdso]" : is_program && started_as != nullptr ? started_as : info->dlpi_name;
      module.from_file = !is_vdso;
      modules->push_back(std::move(module));
    }
    return 0;
  };
  dl_iterate_phdr(add, &map.modules_);
  const std::string program = map.modules_.empty() ? "" : map.modules_.front().path;
  map.put_in_order(program);
  return map;
}

ModuleMap ModuleMap::of_text(std::string_view text, std::string_view executable) {
  ModuleMap map;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    Module module;
    bool is_executable = false;
    if (parse_line(line, &module, &is_executable) && is_executable) map.modules_.push_back(std::move(module));
  }
  map.put_in_order(executable);
  return map;
}

ModuleMap ModuleMap::of_noted(std::vector<Module> modules, std::string_view executable) {
  ModuleMap map;
  map.knows_all_ = false;
  std::map<uint64_t, uint64_t> taken;  // by end: start
  for (Module& module : modules) {
    const auto next = taken.upper_bound(module.start);
    if (module.end <= module.start || (next != taken.end() && next->second < module.end)) continue;
    taken[module.end] = module.start;
    map.modules_.push_back(std::move(module));
  }
  map.put_in_order(executable);
  return map;
}

void ModuleMap::put_in_order(std::string_view executable) {
  if (executable.ends_with(kDeleted)) executable.remove_suffix(kDeleted.size());
  std::sort(modules_.begin(), modules_.end(), [](const Module& a, const Module& b) { return a.start < b.start; });
  for (size_t i = 0; i < modules_.size() && main_ < 0; ++i) {
    if (modules_[i].from_file && modules_[i].path == executable) main_ = static_cast<int>(i);
  }
}

int ModuleMap::find(uint64_t address) const {
  auto above = std::upper_bound(modules_.begin(), modules_.end(), address,
                                [](uint64_t wanted, const Module& module) { return wanted < module.start; });
  if (above == modules_.begin()) return -1;
  --above;
  return address < above->end ? static_cast<int>(above - modules_.begin()) : -1;
}

}  // namespace prof
