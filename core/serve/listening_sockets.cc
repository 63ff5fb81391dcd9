#include "core/serve/listening_sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace prof {
namespace {

constexpr int kBacklog = 128;
constexpr int kPauseMilliseconds = 20;
constexpr int kAttempts = 100;
constexpr int kAttemptsOfChild = 15;

std::string text_of(int error) {
  const char* text = strerrordesc_np(error);
  return text == nullptr ? "error" : text;
}

struct Resolved {
  sockaddr_storage address = {};
  socklen_t bytes = 0;
  std::string error;
};

// The first address of a name, IPv4 before IPv6: one, as with Go.
Resolved resolve(const std::string& host) {
  Resolved resolved;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error != 0) {
    resolved.error = gai_strerror(error);
    return resolved;
  }
  const addrinfo* chosen = list;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET && chosen->ai_family != AF_INET) chosen = entry;
  }
  memcpy(&resolved.address, chosen->ai_addr, chosen->ai_addrlen);
  resolved.bytes = chosen->ai_addrlen;
  freeaddrinfo(list);
  return resolved;
}

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == 127;
  }
  const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

void set_port(sockaddr_storage* address, uint16_t port) {
  if (address->ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  }
}

uint16_t port_of(int descriptor) {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof(address);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &bytes);
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
}

// A descriptor that listens, or -errno.
int listening(const sockaddr* address, socklen_t bytes) {
  const int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  const int yes = 1;
  // Connections of an earlier server that are still being closed do not keep the port; one that listens does.
  if (address->sa_family != AF_UNIX) setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (bind(descriptor, address, bytes) == 0 && listen(descriptor, kBacklog) == 0) return descriptor;
  const int error = errno;
  close(descriptor);
  return -error;
}

// Whether there is a socket that nobody listens at any more: its owner was killed.
bool is_left_behind(const sockaddr_un& address) {
  struct stat st;
  if (lstat(address.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) return false;
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const bool is_refused =
      connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 && errno == ECONNREFUSED;
  close(descriptor);
  return is_refused;
}

ListeningSocket listen_at_path(std::string_view path, const ListeningRules& rules) {
  ListeningSocket socket;
  socket.is_unix = true;
  socket.address = path;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    socket.error =
        "the path '" + socket.address + "' is longer than " + std::to_string(sizeof(address.sun_path) - 1) + " bytes";
    return socket;
  }
  memcpy(address.sun_path, path.data(), path.size());
  const mode_t mask = umask(0177);
  int result = -EADDRINUSE;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (is_left_behind(address)) unlink(address.sun_path);
    result = listening(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (result != -EADDRINUSE || !rules.wait(kPauseMilliseconds)) break;
  }
  umask(mask);
  socket.descriptor = result;
  if (result < 0) socket.error = "'" + socket.address + "': " + text_of(-result);
  return socket;
}

}  // namespace

ListeningSocket listen_at(const HttpAddress& address, const ListeningRules& rules) {
  if (!address.path.empty()) return listen_at_path(address.path, rules);
  ListeningSocket socket;
  const std::string host = address.host.empty() ? std::string("127.0.0.1") : std::string(address.host);
  Resolved resolved = resolve(host);
  if (resolved.bytes == 0) {
    socket.error = "there is no address of '" + host + "': " + resolved.error;
    return socket;
  }
  socket.is_beyond_loopback = !is_loopback(resolved.address);
  if (socket.is_beyond_loopback && !rules.may_go_beyond_loopback) {
    socket.error =
        "other machines could reach it: PROF_HTTP_TOKEN_FILE is needed, the name of a file with a token in it";
    return socket;
  }
  set_port(&resolved.address, address.port);
  int result = -EADDRINUSE;
  const int attempts = rules.may_go_elsewhere ? kAttemptsOfChild : kAttempts;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    result = listening(reinterpret_cast<const sockaddr*>(&resolved.address), resolved.bytes);
    if (result != -EADDRINUSE || !rules.wait(kPauseMilliseconds)) break;
  }
  if (result == -EADDRINUSE && rules.may_go_elsewhere) {
    set_port(&resolved.address, 0);
    result = listening(reinterpret_cast<const sockaddr*>(&resolved.address), resolved.bytes);
    socket.is_elsewhere = true;
  }
  socket.descriptor = result;
  if (result < 0) {
    socket.error = result == -EADDRINUSE ? "the port is taken" : text_of(-result);
    return socket;
  }
  const std::string shown = address.host.empty()                  ? "localhost"
                            : host.find(':') == std::string::npos ? host
                                                                  : "[" + host + "]";
  socket.address = "http://" + shown + ":" + std::to_string(port_of(result));
  return socket;
}

}  // namespace prof
