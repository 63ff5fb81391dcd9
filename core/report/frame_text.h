// A frame as text for people: "Cache::find+0x2f", and where no function is known the file with the place in it, "[libc.so.6]+0x28a1f".
// Normal code.
#pragma once

#include <string>

#include "core/report/profile_model.h"
#include "core/report/symbolizer.h"

namespace prof {

std::string frame_text(const Profile& profile, const ProfileLocation& location, Symbolizer* symbolizer);

// The file that the code is in; empty: none, the frame is a text that stands for no code.
std::string frame_file(const Profile& profile, const ProfileLocation& location);

}  // namespace prof
