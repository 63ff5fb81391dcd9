// Who is let in: by the name that a request was sent to, and by a token. Normal code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prof {

struct Gate {
  bool checks_host = true;          // not of a unix socket, which no web page reaches
  bool is_beyond_loopback = false;  // numbers are names too then
  std::vector<std::string> names;   // that may be asked for, beside loopback's
  std::string token;                // empty: none is asked for
};

enum class Admission { granted, other_host, no_token };

// host: the header; authorization: likewise. A web page whose name its owner lets point to this machine (DNS rebinding) sends its own
// name as the host; a number cannot be made to point elsewhere.
Admission admit(const Gate& gate, std::string_view host, std::string_view authorization);

// Whether a web page of another place has sent it, by what browsers say: an image or a form of its would start profiles and set rates.
bool is_from_elsewhere(std::string_view host, std::string_view origin, std::string_view fetch_site,
                       std::string_view fetch_mode);

// In a time that does not depend on where they differ.
bool is_equal_in_constant_time(std::string_view given, std::string_view wanted);

}  // namespace prof
