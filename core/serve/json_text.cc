#include "core/serve/json_text.h"

#include <cstdio>

#include "core/report/profile_encoder.h"

namespace prof {

JsonText& JsonText::text(std::string_view text) {
  separate();
  text_ += '"';
  for (const char c : valid_utf8(text)) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<unsigned char>(c) < ' ') {
      char escape[8];
      snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      text_ += escape;
    } else {
      text_ += c;
    }
  }
  text_ += '"';
  return *this;
}

}  // namespace prof
