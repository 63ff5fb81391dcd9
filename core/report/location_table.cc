#include "core/report/location_table.h"

#include <algorithm>

#include "core/base/address.h"
#include "core/report/demangle.h"

namespace prof {
namespace {

// Where synthetic locations are: code that is in no file, and texts. Not 0: to pprof a mapping from 0 on is one that it may
// look symbols up in, and a location at address 0 has none.
constexpr char kAnonymous[] = "[anonymous code]";
constexpr char kUnmapped[] = "[not mapped]";
constexpr char kOwn[] = "[libprof]";
constexpr uint64_t kTextsStart = 1;
constexpr uint64_t kTextsEnd = kFirstCodeAddress;

const char* text_of(StackEnd end) {
  switch (end) {
    case StackEnd::too_deep:
      return "[truncated: the stack is deeper than PROF_STACK_DEPTH]";
    case StackEnd::no_unwind_info:
      return "[truncated: code without unwind information]";
    case StackEnd::no_frame_pointer:
      return "[truncated: code without a frame pointer]";
    case StackEnd::unreadable:
      return "[truncated: the stack is not readable]";
    case StackEnd::no_progress:
      return "[truncated: a broken frame]";
    case StackEnd::unknown_register:
      return "[truncated: a register of the sleeping thread is not known]";
    case StackEnd::lost:
      return "[no stack]";
    case StackEnd::complete:
      break;
  }
  return "[truncated]";
}

}  // namespace

LocationTable::LocationTable(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer,
                             Profile* profile)
    : snapshot_(snapshot), modules_(modules), symbolizer_(symbolizer), profile_(profile) {
  if (modules.main() < 0) return;
  const Module& main = modules.modules()[static_cast<size_t>(modules.main())];
  mapping_of(main.start, main.end, main.file_offset, main.path, symbolizer->file(main.path).build_id());
}

uint32_t LocationTable::mapping_of(uint64_t start, uint64_t end, uint64_t file_offset, const std::string& path,
                                   const std::string& build_id) {
  const auto [found, is_new] = mappings_.try_emplace({path, start}, static_cast<uint32_t>(profile_->mappings.size()));
  if (is_new) profile_->mappings.push_back({start, end, file_offset, path, build_id, false});
  return found->second;
}

uint32_t LocationTable::function_of(const std::string& system_name, bool demangled) {
  const auto [found, is_new] = functions_.try_emplace(system_name, static_cast<uint32_t>(profile_->functions.size()));
  if (is_new) profile_->functions.push_back({demangled ? demangle(system_name) : system_name, system_name});
  return found->second;
}

uint32_t LocationTable::add(uint32_t mapping, uint64_t address, const std::string& name, bool demangled) {
  const auto [found, is_new] =
      by_address_.try_emplace({address, mapping}, static_cast<uint32_t>(profile_->locations.size()));
  if (!is_new) return found->second;
  ProfileLocation location;
  location.mapping = mapping;
  location.address = address;
  location.has_function = !name.empty();
  if (location.has_function) location.function = function_of(name, demangled);
  profile_->locations.push_back(location);
  return found->second;
}

const UnloadedModule* LocationTable::unloaded_at(uint64_t address, uint32_t generation) const {
  const UnloadedModule* best = nullptr;
  for (const UnloadedModule& module : snapshot_.unloaded) {
    if (address < module.start || address >= module.end || module.last_generation < generation) continue;
    if (best == nullptr || module.last_generation < best->last_generation) best = &module;
  }
  return best;
}

uint32_t LocationTable::of_frame(uint64_t frame, uint32_t generation) {
  // A profile has some thousand addresses, each in many stacks.
  const auto found = by_frame_.find({frame, generation});
  if (found != by_frame_.end()) return found->second;
  const uint32_t location = find_frame(frame, generation);
  by_frame_[{frame, generation}] = location;
  return location;
}

uint32_t LocationTable::find_frame(uint64_t frame, uint32_t generation) {
  if (frame < kFirstCodeAddress) return of_text(text_of(static_cast<StackEnd>(frame)));
  if (const UnloadedModule* gone = unloaded_at(frame, generation); gone != nullptr) {
    const uint32_t mapping = mapping_of(gone->start, gone->end, gone->file_offset, gone->path, gone->build_id);
    // The file's names hold only if it still is the file that was loaded.
    const bool same = symbolizer_->file(gone->path).build_id() == gone->build_id;
    const uint64_t offset = frame - gone->start + gone->file_offset;
    return add(mapping, frame, same ? symbolizer_->find_in_file(gone->path, offset) : std::string(), true);
  }
  const int index = modules_.find(frame);
  if (index < 0) {
    // A JIT compiler's code may be gone by now, and its names not.
    const std::string name = modules_.knows_all() ? kUnmapped : kAnonymous;
    // A spoiled return address may lie in the very last page, behind which there is no address.
    const uint64_t end = std::max((frame | 4095) + 1, frame | 4095);
    return add(mapping_of(frame & ~uint64_t{4095}, end, 0, name, ""), frame, symbolizer_->find_jit(frame), false);
  }
  const Module& module = modules_.modules()[static_cast<size_t>(index)];
  if (!module.from_file && module.path != "[vdso]") {
    const std::string& name = module.path.empty() ? kAnonymous : module.path;
    return add(mapping_of(module.start, module.end, 0, name, ""), frame, symbolizer_->find_jit(frame), false);
  }
  const uint32_t mapping =
      mapping_of(module.start, module.end, module.file_offset, module.path, symbolizer_->file(module.path).build_id());
  return add(mapping, frame, symbolizer_->find_in_file(module.path, frame - module.start + module.file_offset), true);
}

uint32_t LocationTable::of_text(const std::string& text) {
  const auto found = texts_.find(text);
  if (found != texts_.end()) return found->second;
  const uint32_t mapping = mapping_of(kTextsStart, kTextsEnd, 0, kOwn, "");
  const uint32_t location = add(mapping, kTextsStart + texts_.size(), text, false);
  texts_[text] = location;
  return location;
}

void LocationTable::finish() {
  std::vector<bool> complete(profile_->mappings.size(), false);
  for (const ProfileLocation& location : profile_->locations) complete[location.mapping] = true;
  for (const ProfileLocation& location : profile_->locations) {
    if (!location.has_function) complete[location.mapping] = false;
  }
  for (size_t i = 0; i < complete.size(); ++i) {
    // pprof leaves a mapping with any has_ flag alone. Where the file has line tables it shall not: it adds lines and inlined
    // calls to what we have.
    ProfileMapping& mapping = profile_->mappings[i];
    mapping.has_functions = complete[i] && !symbolizer_->file(mapping.filename).has_line_table();
  }
}

}  // namespace prof
