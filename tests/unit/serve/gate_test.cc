#include "core/serve/gate.h"

#include <criterion/criterion.h>

using namespace prof;

namespace {

Gate of_loopback() {
  Gate gate;
  gate.names = {"profiles.example"};
  return gate;
}

bool is_granted(const Gate& gate, std::string_view host, std::string_view authorization = "") {
  return admit(gate, host, authorization) == Admission::granted;
}

}  // namespace

Test(gate, loopback_and_the_names_it_was_told) {
  const Gate gate = of_loopback();
  for (const char* host : {"localhost", "LocalHost:6060", "localhost.", "127.0.0.1", "127.255.0.1:1", "[::1]",
                           "[::1]:6060", "profiles.example", "PROFILES.example:80"}) {
    cr_assert(is_granted(gate, host), "%s", host);
  }
  for (const char* host : {"", ":6060", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
                           "[::2]", "1270.0.1", "[", "[::1", "]", "localhost@evil.example", "x.profiles.example"}) {
    cr_assert_eq(admit(gate, host, ""), Admission::other_host, "%s", host);
  }
}

Test(gate, numbers_are_names_beyond_loopback) {
  Gate gate = of_loopback();
  gate.is_beyond_loopback = true;
  cr_assert(is_granted(gate, "10.0.0.1:6060"));
  cr_assert(is_granted(gate, "[fe80::1]:6060"));
  cr_assert_not(is_granted(gate, "evil.example"));
  cr_assert_not(is_granted(gate, "10.0.0.1.evil.example"));
}

Test(gate, any_host_of_a_unix_socket) {
  Gate gate;
  gate.checks_host = false;
  cr_assert(is_granted(gate, ""));
  cr_assert(is_granted(gate, "anything"));
}

Test(gate, token) {
  Gate gate = of_loopback();
  gate.token = "secret";
  for (const char* right : {"Bearer secret", "bearer  secret", "Basic eDpzZWNyZXQ=", "basic OnNlY3JldA=="}) {
    cr_assert(is_granted(gate, "localhost", right), "%s", right);
  }
  for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secretsecret", "Bearer Secret",
                            "Digest secret", "Basic", "Basic c2VjcmV0", "Basic !", "Basic eDpzZWNyZQ=="}) {
    cr_assert_eq(admit(gate, "localhost", wrong), Admission::no_token, "%s", wrong);
  }
  cr_assert_eq(admit(gate, "evil.example", "Bearer secret"), Admission::other_host);
}

Test(gate, comparison) {
  cr_assert(is_equal_in_constant_time("a", "a"));
  cr_assert(is_equal_in_constant_time("", ""));
  cr_assert_not(is_equal_in_constant_time("", "a"));
  cr_assert_not(is_equal_in_constant_time("a", ""));
  cr_assert_not(is_equal_in_constant_time("aa", "a"));
  cr_assert_not(is_equal_in_constant_time("ab", "aa"));
}

Test(gate, web_pages) {
  cr_assert(is_from_elsewhere("localhost:6060", "http://evil.example", "", ""));
  cr_assert(is_from_elsewhere("localhost:6060", "null", "", ""));
  cr_assert(is_from_elsewhere("localhost:6060", "", "cross-site", "no-cors"));
  cr_assert_not(is_from_elsewhere("localhost:6060", "http://LOCALHOST:6060", "same-origin", "cors"));
  cr_assert_not(is_from_elsewhere("localhost:6060", "", "cross-site", "navigate"));
  cr_assert_not(is_from_elsewhere("localhost:6060", "", "", ""));
}
