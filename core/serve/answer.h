// What is sent back to a client. Normal code.
#pragma once

#include <functional>
#include <string>
#include <utility>

namespace prof {

inline constexpr const char* kPlainText = "text/plain; charset=utf-8";

struct Answer {
  unsigned status = 200;
  std::string type = kPlainText;
  std::string file_name;  // of an attachment; empty: it is to be shown
  bool is_error = false;  // of a profile: `go tool pprof` prints its text
  std::string allow;      // methods, where the request's is not one
  std::string location;   // where it is
  std::string policy;     // of a page: what may be loaded by it
  std::string challenge;  // how a client is to say who it is
  std::string body;
};

// An answer now, or one to be asked for after a time. What that needs in the meantime lives as long as `later` does: it is given up when
// the client goes.
struct Reply {
  Reply() = default;
  Reply(Answer answer) : now(std::move(answer)) {}  // NOLINT(google-explicit-constructor): most are

  Answer now;
  double seconds = 0;
  std::function<Answer()> later;  // empty: `now`
};

inline Answer error_answer(unsigned status, std::string text) {
  Answer answer;
  answer.status = status;
  answer.is_error = true;
  answer.body = std::move(text) + "\n";
  return answer;
}

}  // namespace prof
