// As much of a web server as the examples need: a thread for each connection, GET only, kept alive where the client wants that.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

struct Response {
  int status = 200;
  std::string body;
};

template <typename Answer>  // Response(const std::string& path, with its query)
void serve_connection(int connection, Answer answer) {
  std::string received;
  char buffer[4096];
  for (;;) {
    const size_t end = received.find("\r\n\r\n");
    if (end == std::string::npos) {
      const ssize_t bytes = read(connection, buffer, sizeof(buffer));
      if (bytes <= 0 || received.size() > 65536) break;
      received.append(buffer, static_cast<size_t>(bytes));
      continue;
    }
    const std::string head = received.substr(0, end);
    received.erase(0, end + 4);
    const size_t path = head.find(' ') + 1;
    const Response response = answer(head.substr(path, head.find(' ', path) - path));
    const bool is_1_0 = head.find("HTTP/1.0") != std::string::npos;
    const bool is_kept = strcasestr(head.c_str(), is_1_0 ? "connection: keep-alive" : "connection: close") != nullptr;
    const bool keeps = is_1_0 == is_kept;
    std::string text = "HTTP/1.1 " + std::to_string(response.status) + (response.status == 200 ? " OK" : " Not Found") +
                       "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(response.body.size()) +
                       "\r\nConnection: " + (keeps ? "keep-alive" : "close") + "\r\n\r\n" + response.body;
    if (send(connection, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()) || !keeps) break;
  }
  close(connection);
}

// Serves on loopback until SIGTERM or SIGINT comes, then returns: profiles are written at the end. Port 0: a free one, which it says.
template <typename Answer>
int serve(unsigned port, Answer answer) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr *>(&address), length) != 0 || listen(listener, 128) != 0) {
    perror("listen");
    return 1;
  }
  getsockname(listener, reinterpret_cast<sockaddr *>(&address), &length);
  printf("listening on http://127.0.0.1:%u\n", ntohs(address.sin_port));
  fflush(stdout);
  std::thread([listener, answer] {
    for (;;) {
      const int connection = accept(listener, nullptr, nullptr);
      if (connection < 0) continue;
      const int no_delay = 1;
      setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof(no_delay));
      std::thread(serve_connection<Answer>, connection, answer).detach();
    }
  }).detach();
  int signal = 0;
  sigwait(&ends, &signal);
  return 0;
}
