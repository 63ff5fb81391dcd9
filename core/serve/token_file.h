// PROF_HTTP_TOKEN_FILE. Normal code.
#pragma once

#include <string>

namespace prof {

struct Token {
  std::string text;   // without white space around it
  std::string error;  // why there is none; empty: there is one
};

// The file must not be open to others than its owner and group.
Token read_token(const std::string& file);

}  // namespace prof
