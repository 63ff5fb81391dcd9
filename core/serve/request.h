// A request, as the endpoints see it. Normal code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prof {

struct Request {
  std::string method;
  std::string path;   // as it came, without the query
  std::string query;  // as it came, behind the `?`
  std::string body;
  std::string accept;                                       // the header
  std::string host;                                         // likewise
  std::vector<std::pair<std::string, std::string>> values;  // of the query, and of a form; decoded

  // The first of that name; empty: none. Those of a form come first.
  std::string_view value(std::string_view name) const;
};

// The host, port and all, that a target names ("http://host:port/path"), empty where it is a path alone. None: it is neither of them.
std::optional<std::string_view> host_of_target(std::string_view target);

// target: "/path?query", or with a scheme and a host in front, as a client of a proxy writes it.
Request parse_request(std::string_view method, std::string_view target);
// Adds the values of a form: "a=1&b=2".
void add_form_values(std::string_view form, Request* request);

// A whole number as Go reads it: digits with a sign or none. False: it is none.
bool parse_integer(std::string_view text, int64_t* number);

}  // namespace prof
