// Whose region it is, and what it takes to write the profiles of it when that process is there no more: settings, and the code that is
// mapped. Only in a region that lies in a file (PROF_SPOOL). Plain data; written in normal code, but for `last_ns` and `loaded`.
#pragma once

#include "core/base/region.h"
#include "core/record/unloaded_modules.h"

namespace prof {

// How far the process has come with its own profiles.
enum class OwnerState : uint32_t {
  records,  // they are not written yet
  written,  // they are: nothing is to be recovered
  failed,   // they could not be: a folder was missing, a disk was full
};

// A text in the region.
struct OwnerText {
  uint32_t bytes;
  char text[];
};

inline constexpr unsigned kOwnerPaths = 16;  // at least as many as there are kinds

// Root::owner
struct OwnerRecord {
  std::atomic<OwnerState> state;
  uint32_t is_child;       // as in Output (core/report/output.h), and so are `started_unix_ns` and `paths`
  uint32_t numbered;       // stretches of the CPU profile have numbers
  uint32_t has_pid;        // by kind, a bit each
  uint64_t start_ticks;    // of the process: /proc/PID/stat's 22nd field; 0: not known
  uint64_t pid_namespace;  // inode; 0: not known
  char boot_id[40];        // of the machine; empty: not known
  int64_t started_unix_ns;
  Ref file;  // the region's own, an OwnerText, and those below; 0: none
  Ref executable;
  Ref paths[kOwnerPaths];        // of profiles, by kind
  std::atomic<int64_t> last_ns;  // CLOCK_MONOTONIC: when something was recorded last, as far as it is known
  // UnloadedModuleEntry: executable segments of what is loaded, the last noted first; last_generation is the one in which it was last
  // seen.
  std::atomic<Ref> loaded;
};

// A text put into the region. 0: no room. Normal code.
Ref put_owner_text(const char* text, uint32_t bytes);

// Adds to `loaded`. Signal-safe.
void note_loaded(OwnerRecord* owner, const ModuleSegment& segment);
// The entry of a loaded segment that an address lies in; null: none is known.
UnloadedModuleEntry* loaded_at(const OwnerRecord& owner, uint64_t address);

// The record of this process's region; null: it has none.
inline OwnerRecord* owner_record() {
  const Ref ref = g_region->roots[static_cast<unsigned>(Root::owner)];
  return ref == 0 ? nullptr : region_at<OwnerRecord>(ref);
}

}  // namespace prof
