// Profile → the bytes of a .pb.gz file: protozero writes, zlib packs. Normal code.
#pragma once

#include <string>
#include <string_view>

#include "core/report/profile_model.h"

namespace prof {

// proto/profile.proto, not packed. Texts that are not UTF-8 get a '?' for each byte that is none.
std::string encode_profile_message(const Profile& profile);

// A gzip of it. Empty only where memory ran out.
std::string encode_profile(const Profile& profile);

// A copy in which every byte that is not part of valid UTF-8 is a '?'.
std::string valid_utf8(std::string_view text);

}  // namespace prof
