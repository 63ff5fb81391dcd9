#include "core/serve/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace prof {

Token read_token(const std::string& file) {
  Token token;
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) {
    const char* reason = strerrordesc_np(errno);
    token.error = reason == nullptr ? "it cannot be opened" : reason;
    return token;
  }
  struct stat st = {};
  char text[4097];
  ssize_t bytes = -1;
  if (fstat(descriptor, &st) != 0 || !S_ISREG(st.st_mode)) {
    token.error = "it is not a file";
  } else if ((st.st_mode & S_IRWXO) != 0) {
    token.error = "every user may read or change it; chmod 600 it";
  } else if ((bytes = read(descriptor, text, sizeof(text))) < 0 || bytes == sizeof(text)) {
    token.error = bytes < 0 ? "it cannot be read" : "it is longer than a token";
  }
  close(descriptor);
  if (!token.error.empty()) return token;
  token.text.assign(text, static_cast<size_t>(bytes));
  constexpr const char* kSpaces = " \t\r\n";
  token.text.erase(token.text.find_last_not_of(kSpaces) + 1);
  token.text.erase(0, token.text.find_first_not_of(kSpaces));
  if (token.text.empty()) token.error = "there is no token in it";
  return token;
}

}  // namespace prof
