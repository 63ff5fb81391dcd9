// The uncompressed bytes of a profile file, or one line that says why there are none.
//
// Input is not trusted: whatever it is, the answer is bytes or an error, and never more than kMaxProfileBytes are held.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace prof::reader {

// A small file can unpack to a thousand times its size. The largest profiles in use have some ten megabytes.
inline constexpr size_t kMaxProfileBytes = size_t{256} << 20;

// `path` "-" is standard input. Gzip is recognised by its first bytes; anything else is taken as it is.
std::optional<std::string> profile_bytes(const std::string& path, std::string& error);

// Every member of a gzip stream, one after another.
std::optional<std::string> gunzipped(std::string_view packed, size_t max_bytes, std::string& error);

}  // namespace prof::reader
