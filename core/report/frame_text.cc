#include "core/report/frame_text.h"

#include <cstdio>

namespace prof {
namespace {

std::string hex(uint64_t number) {
  char text[24];
  snprintf(text, sizeof(text), "0x%lx", static_cast<unsigned long>(number));
  return text;
}

}  // namespace

std::string frame_text(const Profile& profile, const ProfileLocation& location, Symbolizer* symbolizer) {
  const ProfileMapping& mapping = profile.mappings[location.mapping];
  const std::string& file = mapping.filename;
  const uint64_t offset = location.address - mapping.start + mapping.file_offset;
  if (!location.has_function) {
    // As `prof top` calls it: the file, and the place in it.
    return (file.starts_with('[') ? file : "[" + file.substr(file.rfind('/') + 1) + "]") + "+" + hex(offset);
  }
  const std::string& name = profile.functions[location.function].name;
  // A text that stands for no code has none.
  const uint64_t start = symbolizer->start_in_file(file, offset);
  return start == 0 ? name : name + "+" + hex(offset - start);
}

std::string frame_file(const Profile& profile, const ProfileLocation& location) {
  const std::string& file = profile.mappings[location.mapping].filename;
  return file.starts_with("[libprof") ? std::string() : file;
}

}  // namespace prof
