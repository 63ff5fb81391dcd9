#include "core/serve/request.h"

#include <criterion/criterion.h>

using namespace prof;

Test(request, path_and_values) {
  const Request request = parse_request("GET", "/debug/pprof/heap?seconds=5&debug=&x&a%20b=c+d%2&seconds=6");
  cr_assert_eq(request.path, "/debug/pprof/heap");
  cr_assert_eq(request.query, "seconds=5&debug=&x&a%20b=c+d%2&seconds=6");
  cr_assert_eq(request.value("seconds"), "5");
  cr_assert_eq(request.value("debug"), "");
  cr_assert_eq(request.value("a b"), "c d%2");
  cr_assert_eq(request.value("none"), "");
}

Test(request, targets) {
  cr_assert_eq(parse_request("GET", "http://host:1/a?b=c").path, "/a");
  cr_assert_eq(parse_request("GET", "http://host:1/a?b=c").value("b"), "c");
  cr_assert_eq(parse_request("GET", "https://host").path, "/");
  cr_assert_eq(parse_request("GET", "http://host?b=c").value("b"), "c");
  cr_assert_eq(parse_request("GET", "/a#b?c=d").query, "");
  cr_assert_eq(parse_request("GET", "").path, "/");
  cr_assert_eq(parse_request("GET", "/%2e%2e/").path, "/%2e%2e/");
}

Test(request, hosts_of_targets) {
  cr_assert_eq(host_of_target("/a"), "");
  cr_assert_eq(host_of_target("//host/a"), "");
  cr_assert_eq(host_of_target("http://host:1/a"), "host:1");
  cr_assert_eq(host_of_target("https://user@host?b"), "user@host");
  cr_assert_eq(host_of_target("http://[::1]:6060"), "[::1]:6060");
  for (const char* target :
       {"", "*", "?a", "#", "host:1", "http://", "https:///a", "http:/a", "HTTP://host/", "ftp://host/", "a"}) {
    cr_assert_not(host_of_target(target).has_value(), "%s", target);
  }
}

Test(request, form_comes_first) {
  Request request = parse_request("POST", "/?rate=1&x=2");
  add_form_values("rate=3", &request);
  cr_assert_eq(request.value("rate"), "3");
  cr_assert_eq(request.value("x"), "2");
}

Test(request, integers) {
  int64_t number = 0;
  cr_assert(parse_integer("30", &number) && number == 30);
  cr_assert(parse_integer("-1", &number) && number == -1);
  cr_assert(parse_integer("+7", &number) && number == 7);
  for (const char* text : {"", "+", "-", "+-1", "1.5", "0x10", "1 ", " 1", "9223372036854775808"}) {
    cr_assert_not(parse_integer(text, &number), "%s", text);
  }
}
