// A profile decoded and checked: every id and every string number in it leads somewhere, every id occurs once, every
// sample has as many values as there are types. Input is not trusted; what fails gets one line in `error`.
#pragma once

#include <optional>
#include <string>

#include "tools/prof/profile.h"

namespace prof::reader {

// `bytes`: the protobuf message, not compressed.
std::optional<Profile> profile_from_bytes(const std::string& bytes, std::string& error);

}  // namespace prof::reader
