// `prof raw`: everything that is in a profile, as text.
//
// The text is that of `go tool pprof -raw -symbolize=none`, line by line, but for the duration, which is not cut short.
#pragma once

#include <string>

#include "tools/prof/profile.h"

namespace prof::reader {

std::string raw_report(const Profile& profile);

}  // namespace prof::reader
