// What code is mapped in a process: its executable mappings, from /proc/PID/maps. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prof {

struct Module {
  uint64_t start = 0, end = 0;  // addresses
  uint64_t file_offset = 0;     // of start, bytes
  std::string path;             // " (deleted)" removed; "[vdso]" and the like as they are; empty: anonymous memory
  bool from_file = false;       // it has an inode
};

class ModuleMap {
 public:
  // Of this process, where there is no /proc, what the loader knows.
  static ModuleMap of_process(int pid);
  static ModuleMap of_loader();
  // text: as /proc/PID/maps. executable: the main program's path.
  static ModuleMap of_text(std::string_view text, std::string_view executable);

  // Of what a process that is gone had noted, the last noted first: there may have been other code, which nobody knows of.
  static ModuleMap of_noted(std::vector<Module> modules, std::string_view executable);
  bool knows_all() const { return knows_all_; }

  // By address. The main program's first executable mapping is main(), or -1.
  const std::vector<Module>& modules() const { return modules_; }
  int main() const { return main_; }
  // Index of the mapping that contains the address, or -1.
  int find(uint64_t address) const;

 private:
  void put_in_order(std::string_view executable);

  std::vector<Module> modules_;
  int main_ = -1;
  bool knows_all_ = true;
};

// The folder of /proc that describes a process, with a / at its end. For the calling process it is that of the calling
// thread: the main thread may have ended, and the process's own folder is empty then.
std::string proc_folder(int pid);
// This process stands for that one from here on, and shares its memory: its own folder says the same and is open to it.
void proc_folder_is_own(int pid);

// The whole of a file of /proc, or what can be read of it.
std::string read_proc_file(const std::string& path);
// The same of one that is open, from its beginning.
std::string read_proc_file(int descriptor);

}  // namespace prof
