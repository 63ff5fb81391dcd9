#include "core/serve/gate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace prof {
namespace {

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// Without a port and brackets.
std::string host_name(std::string_view header) {
  if (header.starts_with('[')) {
    const size_t end = header.find(']');
    return end == std::string_view::npos ? std::string() : lowered(header.substr(1, end - 1));
  }
  const size_t colon = header.find(':');
  std::string name = lowered(header.substr(0, colon));
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_number(const std::string& name) {
  unsigned char address[16];
  return inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
}

bool is_of_loopback(const std::string& name) {
  unsigned char address[16];
  if (inet_pton(AF_INET, name.c_str(), address) == 1) return address[0] == 127;
  return name == "localhost" || name == "::1";
}

int value_of(char c) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t at = kDigits.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const int value = value_of(c);
    if (value < 0) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xff);
    }
  }
  return bytes;
}

// The token that a client gives: as a bearer, or as the password of any user, which is what a client that knows only addresses of the
// form http://user:password@host can do.
std::string given_token(std::string_view authorization) {
  const size_t space = authorization.find(' ');
  if (space == std::string_view::npos) return {};
  const std::string scheme = lowered(authorization.substr(0, space));
  const std::string_view rest =
      authorization.substr(std::min(authorization.find_first_not_of(' ', space), authorization.size()));
  if (scheme == "bearer") return std::string(rest);
  if (scheme != "basic") return {};
  const std::string pair = from_base64(rest);
  const size_t colon = pair.find(':');
  return colon == std::string::npos ? std::string() : pair.substr(colon + 1);
}

}  // namespace

bool is_equal_in_constant_time(std::string_view given, std::string_view wanted) {
  volatile unsigned difference = given.size() == wanted.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char other = wanted.empty() ? '\0' : wanted[i % wanted.size()];
    difference = difference | static_cast<unsigned char>(given[i] ^ other);
  }
  return difference == 0;
}

Admission admit(const Gate& gate, std::string_view host, std::string_view authorization) {
  if (gate.checks_host) {
    const std::string name = host_name(host);
    const bool is_known = is_of_loopback(name) ||
                          std::find(gate.names.begin(), gate.names.end(), name) != gate.names.end() ||
                          (gate.is_beyond_loopback && is_number(name));
    if (!is_known) return Admission::other_host;
  }
  if (gate.token.empty() || is_equal_in_constant_time(given_token(authorization), gate.token))
    return Admission::granted;
  return Admission::no_token;
}

bool is_from_elsewhere(std::string_view host, std::string_view origin, std::string_view fetch_site,
                       std::string_view fetch_mode) {
  const size_t scheme = origin.find("://");
  const bool has_origin =
      !origin.empty() && (scheme == std::string_view::npos || lowered(origin.substr(scheme + 3)) != lowered(host));
  // To follow a link is what a person does.
  return has_origin || (fetch_site == "cross-site" && fetch_mode != "navigate");
}

}  // namespace prof
