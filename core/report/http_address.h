// Where PROF_HTTP is to listen, as it is written: HOST:PORT, [HOST]:PORT, PORT or :PORT (of loopback), unix:PATH. Allocates nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace prof {

struct HttpAddress {
  std::string_view path;  // of a unix socket; empty: host and port
  std::string_view host;  // a name or an address, without brackets; empty: loopback
  uint16_t port = 0;      // 0: one that is free
};

// False: it cannot be used.
bool parse_http_address(std::string_view text, HttpAddress* address);

}  // namespace prof
