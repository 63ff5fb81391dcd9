// The files of regions (PROF_SPOOL): their names, and whether the process that a file is of still has it. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prof {

// What tells a process from another one of its number.
struct ProcessIdentity {
  uint64_t start_ticks = 0;    // /proc/PID/stat; 0: not known
  uint64_t pid_namespace = 0;  // inode; 0: not known
  std::string boot_id;         // empty: not known
};
ProcessIdentity identity_of_self();

// libprof.PID.NUMBER.region
std::string region_file_name(int pid, int64_t number);
bool is_region_file_name(std::string_view name);

// False also where that cannot be known.
bool is_of_own_namespace(const ProcessIdentity& identity);

enum class OwnerFate {
  lives,  // and has the file mapped, or may have
  gone,
  replaced,  // the process lives, as another program: by exec
  unknown,   // of another pid namespace, which cannot be seen from here
};
// Of the process `pid` of a pid namespace, whose region's file has that name. What may not be read is taken to be alive.
OwnerFate fate_of_owner(int pid, const ProcessIdentity& identity, std::string_view file_name);

}  // namespace prof
