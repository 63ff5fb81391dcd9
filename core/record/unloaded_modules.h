// Libraries that were unloaded, so that addresses in them still get their names.
//
// Normal code only (around dlclose), but for the generation: the number of unloadings so far, which each stack carries.
#pragma once

#include "core/base/region.h"

namespace prof {

inline constexpr unsigned kMaxBuildIdBytes = 20;

struct UnloadedModuleEntry {
  Ref next;
  std::atomic<uint32_t> last_generation;  // the last one in which it was loaded
  uint64_t start, end;                    // of one executable segment
  uint64_t file_offset;                   // of start
  uint32_t build_id_bytes;
  uint8_t build_id[kMaxBuildIdBytes];
  uint32_t path_bytes;
  char path[];
};

struct ModuleTable {
  std::atomic<Ref> unloaded;
  std::atomic<uint32_t> generation;
};

inline uint32_t module_generation() {
  return region_root<ModuleTable>(Root::modules)->generation.load(std::memory_order_acquire);
}

// One executable segment of a library that is about to go, described before it goes.
struct ModuleSegment {
  uint64_t start, end, file_offset;
  const char* path;
  uint32_t path_bytes;
  uint8_t build_id[kMaxBuildIdBytes];
  uint32_t build_id_bytes;
};

bool is_of_segment(const UnloadedModuleEntry& entry, const ModuleSegment& segment);
// An entry for it in a list that is only added to, with the present generation as its last; where there is no room, counted as lost.
// Signal-safe.
void add_module_entry(std::atomic<Ref>* list, const ModuleSegment& segment);

// It is gone. Follow a round of these by next_module_generation().
void note_unloaded(const ModuleSegment& segment);
void next_module_generation();

}  // namespace prof
