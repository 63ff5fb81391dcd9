// The answer to `/debug/pprof/symbol`: function names of addresses in a live process. Normal code.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/report/module_map.h"
#include "core/report/symbolizer.h"

namespace prof {

inline constexpr size_t kMaxSymbolQuery = 1 << 20;  // bytes of a question that are answered

// query: "0xa+0xb", of a GET as it stands behind the `?`, or a POST's body. Answers "num_symbols: 1", then a line "0xa name" for each
// address that has one, in the order asked. What is no number is passed over, as Go does; a question that is too long is answered as far
// as kMaxSymbolQuery goes, and says so.
//
// Names are mangled, as the files have them: `go tool pprof` demangles them in the way that its user asked for (-symbolize=demangle=…),
// and could not undo ours. An address is looked up as it is: pprof's are inside the call already.
std::string symbol_page(std::string_view query, const ModuleMap& modules, Symbolizer* symbolizer);

}  // namespace prof
