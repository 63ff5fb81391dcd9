// The sockets that the server listens at. Normal code.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/report/http_address.h"

namespace prof {

struct ListeningSocket {
  int descriptor = -1;
  bool is_unix = false;
  bool is_beyond_loopback = false;
  bool is_elsewhere = false;  // on another port than was asked for, which is taken
  std::string address;        // as a client writes it: http://host:port, or the path
  std::string error;          // why there is none; empty: there is one
};

struct ListeningRules {
  bool may_go_beyond_loopback = false;         // a token is asked for
  bool may_go_elsewhere = false;               // a child: its parent has the port
  std::function<bool(int milliseconds)> wait;  // false: it is of no use any more
};

// A port may still be held by a process that is about to end: it is asked for again for a while. Nothing else ever listens at the
// same place.
ListeningSocket listen_at(const HttpAddress& address, const ListeningRules& rules);

}  // namespace prof
