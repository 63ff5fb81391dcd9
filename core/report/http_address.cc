#include "core/report/http_address.h"

#include <algorithm>
#include <charconv>

namespace prof {
namespace {

constexpr std::string_view kUnix = "unix:";

bool parse_port(std::string_view text, uint16_t* port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *port);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_of_host(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_of_address(char c) { return is_of_host(c) || c == ':' || c == '%'; }

}  // namespace

bool parse_http_address(std::string_view text, HttpAddress* address) {
  *address = {};
  if (text.starts_with(kUnix)) {
    address->path = text.substr(kUnix.size());
    return !address->path.empty();
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return parse_port(text, &address->port);
  std::string_view host = text.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  address->host = host;
  return std::all_of(host.begin(), host.end(), is_bracketed ? is_of_address : is_of_host) &&
         parse_port(text.substr(colon + 1), &address->port);
}

}  // namespace prof
