// A profile in the file format (proto/profile.proto), gzip-packed: what profile_from_bytes() reads.
#pragma once

#include <string>

#include "tools/prof/profile.h"

namespace prof::reader {

// A mapping is said to be resolved to a degree only where each of its locations is: the profiles that it comes from may differ in that.
std::string bytes_of_profile(const Profile& profile);

}  // namespace prof::reader
