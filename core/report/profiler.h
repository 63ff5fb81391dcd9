// The report side put together: region → snapshot → profiles → files. Normal code; allocates.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/region_layout.h"
#include "core/report/ending.h"
#include "core/report/module_map.h"
#include "core/report/output.h"
#include "core/report/region_view.h"

namespace prof {

// What is to be written of a region; to the files that an Output has for it.
struct ReportTask {
  uint32_t stretch = 0;     // of CPU sampling; 0: no CPU profile
  bool numbered = false;    // its number goes into the file's name
  bool cumulative = false;  // every other kind
  uint32_t snapshot = 0;    // the number in their names; 0: those at exit, which have none
  // Kinds that are in their files, a bit each: they are not written again, and those that are written now are added. Null: all are to be.
  std::atomic<uint32_t>* written_kinds = nullptr;
  Ending ending = Ending::by_exit;  // at exit: how the process ended
};

// Of this process, at exit, or before an exec: under a name of its own. notes: further comments of the CPU profile. *files: those that were
// written. What is not written is said on stderr, in one line. False: something is not written. std::bad_alloc comes out of it.
bool write_own_profiles(const RegionHeader* region, const ReportTask& task, const Output& output,
                        const std::vector<std::string>& notes, std::vector<std::string>* files = nullptr);

// Another one, and its region.
struct LivingProcess {
  int pid;
  uint64_t region_address;  // where the region's header is mapped there
  int64_t
      start_monotonic_ns;  // of that header: the program that the process becomes by exec may have a region in the same place
};
// The same of that one; and writes into its region what became of it (CpuStretch::reported, SnapshotNumbers::done). False: its region cannot
// be read, and nothing was said or written. Of one that is about to exec (Ending::exec): under a name of its own, once it has.
// is_written: whether all of them are.
bool write_profiles_of_process(const LivingProcess& process, const ReportTask& task, const Output& output,
                               bool* is_written);

// A process that is there no more, as its region's file has it.
struct NotedModule {
  Module mapped;
  std::string build_id;  // hexadecimal; empty: it had none
};
struct GoneProcess {
  int64_t ended_ns = 0;              // CLOCK_MONOTONIC, when it was last seen to do something
  std::vector<NotedModule> modules;  // the last noted first
  std::vector<std::string> notes;    // for each profile's comments
  bool may_replace = true;           // older profiles that have the names; else nothing that is there
};
// Neither it nor the names are trusted. *files: those that were written are added. False: something is not written, and one line has said
// what.
bool write_profiles_of_region(const RegionView& region, const GoneProcess& process, const ReportTask& task,
                              const Output& output, std::vector<std::string>* files);

}  // namespace prof
