// What becomes of Boost's assertions: a client must not be able to end the server by finding one that does not hold. It
// throws, which ends the connection that is being served (server.cc).

#include <cstring>
#include <stdexcept>

namespace boost {

void assertion_failed(const char* expression, const char* function, const char* file, long line);
void assertion_failed_msg(const char* expression, const char* message, const char* function, const char* file,
                          long line);

void assertion_failed(const char* expression, const char* /*function*/, const char* /*file*/, long /*line*/) {
  // Beast 1.74 asserts this of a body's last chunk as often as it is looked at, though "0\r\n" and a byte of what follows
  // may be all that is there yet; it needs no more than 3 bytes (what later releases assert), and goes on as it should.
  if (strcmp(expression, "n >= 5") == 0) return;
  throw std::logic_error(expression);
}

void assertion_failed_msg(const char* expression, const char* /*message*/, const char* function, const char* file,
                          long line) {
  assertion_failed(expression, function, file, line);
}

}  // namespace boost
