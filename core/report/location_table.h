// Addresses of one profile, each made a location once: with its mapping, and its function's name where there is one.
// Normal code.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/report/module_map.h"
#include "core/report/profile_model.h"
#include "core/report/snapshot.h"
#include "core/report/symbolizer.h"

namespace prof {

class LocationTable {
 public:
  // Puts the main program's mapping first.
  LocationTable(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer, Profile* profile);

  // Index of the location of a frame of a stack; a marker's (core/base/address.h) is synthetic.
  uint32_t of_frame(uint64_t frame, uint32_t generation);
  // A location that is no code: a text for people, shown as a function.
  uint32_t of_text(const std::string& text);
  // Sets has_functions, after the last location.
  void finish();

 private:
  uint32_t find_frame(uint64_t frame, uint32_t generation);
  // One place that code was mapped at: by path, start and end. Synthetic ones have a name in brackets.
  uint32_t mapping_of(uint64_t start, uint64_t end, uint64_t file_offset, const std::string& path,
                      const std::string& build_id);
  uint32_t function_of(const std::string& system_name, bool demangled);
  uint32_t add(uint32_t mapping, uint64_t address, const std::string& name, bool demangled);
  const UnloadedModule* unloaded_at(uint64_t address, uint32_t generation) const;

  const Snapshot& snapshot_;
  const ModuleMap& modules_;
  Symbolizer* const symbolizer_;
  Profile* const profile_;
  struct FrameHash {
    size_t operator()(const std::pair<uint64_t, uint32_t>& key) const {
      return ((key.first ^ (uint64_t{key.second} << 40)) * 0x9e37'79b9'7f4a'7c15) >> 7;
    }
  };
  std::unordered_map<std::pair<uint64_t, uint32_t>, uint32_t, FrameHash> by_frame_;  // frame and generation
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> by_address_;                     // address and mapping
  std::map<std::pair<std::string, uint64_t>, uint32_t> mappings_;                    // path and start
  std::unordered_map<std::string, uint32_t> functions_;                              // by mangled name
  std::unordered_map<std::string, uint32_t> texts_;
};

}  // namespace prof
