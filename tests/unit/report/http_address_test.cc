#include "core/report/http_address.h"

#include <criterion/criterion.h>

using namespace prof;

Test(http_address, forms) {
  HttpAddress address;
  cr_assert(parse_http_address("localhost:6060", &address));
  cr_assert(address.host == "localhost" && address.port == 6060 && address.path.empty());
  cr_assert(parse_http_address("6060", &address) && address.host.empty() && address.port == 6060);
  cr_assert(parse_http_address(":6060", &address) && address.host.empty() && address.port == 6060);
  cr_assert(parse_http_address("0", &address) && address.host.empty() && address.port == 0);
  cr_assert(parse_http_address("[::1]:65535", &address) && address.host == "::1" && address.port == 65535);
  cr_assert(parse_http_address("unix:/run/%p.sock", &address) && address.path == "/run/%p.sock");
  cr_assert(parse_http_address("unix:a", &address) && address.path == "a");
}

Test(http_address, what_is_none) {
  HttpAddress address;
  for (const char* text :
       {"", "localhost", "localhost:", ":", "localhost:65536", "localhost:-1", "localhost:+1", "localhost:1x",
        "::1:6060", "[]:1", "[::1]", "http://localhost:1", "local host:1", "unix:", "a/b:1"}) {
    cr_assert_not(parse_http_address(text, &address), "%s", text);
  }
}
