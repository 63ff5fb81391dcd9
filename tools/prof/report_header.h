// The lines above a report: what was measured, of which program, when.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tools/prof/profile.h"

namespace prof::reader {

// `total` is the sum over all samples of the value shown, `unit` the one to show it in.
std::string report_header(const Profile& profile, size_t value_index, int64_t total, const std::string& unit);

// A time of the profile in the local zone; `pattern` is strftime's.
std::string local_time(int64_t unix_nanos, const char* pattern);

}  // namespace prof::reader
