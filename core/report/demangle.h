// Mangled C++ and Rust names made readable, by libiberty. Normal code.
#pragma once

#include <string>
#include <string_view>

namespace prof {

// C++ without parameters but with template arguments ("std::sort<int*>"), as pprof shows what it demangles itself, but that it
// drops those too; Rust (legacy and v0) without the hash. Any other name, and one of absurd length, is returned as it is.
std::string demangle(std::string_view name);

}  // namespace prof
