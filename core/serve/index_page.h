// The page at `/debug/pprof/`: what there is to get, how much of it, and the command that opens each. HTML, whole in itself: nothing is
// loaded from anywhere. Normal code, without side effects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/serve/recording_state.h"

namespace prof {

// Sent with the page: what runs or is loaded in it is what stands in it here.
extern const std::string_view kIndexContentSecurityPolicy;

// One profile; what it is is known by its name.
struct IndexProfile {
  std::string
      name;  // its path below /debug/pprof/: heap, allocs, block, mutex, threadcreate, goroutine, profile, wall, fgprof, …
  int64_t count = -1;  // records; negative: not counted
  Recording recording = Recording::on;
  int64_t since_unix_ns = 0;  // where it is on
  std::string note;           // a sentence that explains: why it is off, or may have nothing in it (why_empty.h)
};

struct IndexPage {
  std::vector<std::string> command_line;
  int pid = 0;
  std::string host;             // the machine's name
  int64_t started_unix_ns = 0;  // the process
  int64_t now_unix_ns = 0;
  std::vector<IndexProfile> profiles;
  std::vector<std::string> losses;  // a line each
  std::string version;              // of libprof; may be empty

  // How a reader reaches the server: "http://localhost:6060". By the request's Host, once that is found right.
  std::string origin;
  // Where `go tool pprof` cannot go by itself (a unix socket, a token): the words of a command that fetches a URL to stdout, like
  // "curl --fail --unix-socket /run/app.sock". Empty: it can.
  std::string fetch_command;
};

std::string index_page(const IndexPage& page);

}  // namespace prof
