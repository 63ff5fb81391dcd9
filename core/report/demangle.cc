#include "core/report/demangle.h"

#include <cstdlib>

// libiberty's header declares more than its archive is asked for here, and under names that other headers use.
extern "C" char* cplus_demangle_v3(const char* mangled, int options);
extern "C" char* rust_demangle(const char* mangled, int options);

namespace prof {

std::string demangle(std::string_view name) {
  constexpr size_t kMaxMangledBytes = 4096;  // libiberty's time and stack grow with it
  constexpr size_t kMaxBytes = 16 * 1024;
  constexpr int kNoParameters = 0;
  if (name.size() > kMaxMangledBytes || !(name.starts_with("_Z") || name.starts_with("_R"))) return std::string(name);
  std::string mangled(name);
  // Rust first: its legacy names are valid C++ ones, with a hash at the end.
  char* readable = rust_demangle(mangled.c_str(), kNoParameters);
  if (readable == nullptr) readable = cplus_demangle_v3(mangled.c_str(), kNoParameters);
  if (readable == nullptr) return mangled;
  std::string text(readable);
  free(readable);
  return text.size() <= kMaxBytes ? text : mangled;
}

}  // namespace prof
