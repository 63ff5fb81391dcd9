// A server of its own, and what its clients wait: how long from a question to its answer.
//
//   bench_latency serve              says on stdout the port of loopback that it listens at; ends with stdin
//   bench_latency ask PORT COUNT     says the median and the 99th percentile of so many questions, one after the other, in us

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBytes = 64;

sockaddr_in loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool take(int connection, char* bytes) {
  for (size_t done = 0; done < kBytes;) {
    const ssize_t part = read(connection, bytes + done, kBytes - done);
    if (part <= 0) return false;
    done += static_cast<size_t>(part);
  }
  return true;
}

void at_once(int connection) {
  const int yes = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

std::mutex g_lock;
uint64_t g_sum = 0;

// Some 20 us of work for each, with an allocation and a lock in it.
void answer(int connection) {
  char bytes[kBytes];
  at_once(connection);
  while (take(connection, bytes)) {
    const std::unique_ptr<unsigned char[]> copy(new unsigned char[4096]);
    uint64_t sum = static_cast<unsigned char>(bytes[0]);
    for (int turn = 0; turn < 4; ++turn) {
      for (size_t i = 0; i < 4096; ++i) {
        copy[i] = static_cast<unsigned char>(sum);
        sum = sum * 6364136223846793005u + copy[i];
      }
    }
    const std::lock_guard<std::mutex> guard(g_lock);
    g_sum += sum;
    if (write(connection, bytes, kBytes) != static_cast<ssize_t>(kBytes)) break;
  }
  close(connection);
}

int serve() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 16) != 0) return 1;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  std::thread([] {
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    _exit(0);
  }).detach();
  for (;;) {
    const int connection = accept(listener, nullptr, nullptr);
    if (connection >= 0) std::thread(answer, connection).detach();
  }
}

int ask(int port, size_t count) {
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return 1;
  at_once(connection);
  char bytes[kBytes] = {};
  std::vector<double> waited;
  for (size_t i = 0; i < count; ++i) {
    bytes[0] = static_cast<char>(i);
    const auto start = std::chrono::steady_clock::now();
    if (write(connection, bytes, kBytes) != static_cast<ssize_t>(kBytes) || !take(connection, bytes)) return 1;
    waited.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(waited.begin(), waited.end());
  printf("%.2f %.2f\n", waited[count / 2], waited[count * 99 / 100]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "serve") == 0) return serve();
  if (argc == 4 && strcmp(argv[1], "ask") == 0) return ask(atoi(argv[2]), strtoul(argv[3], nullptr, 10));
  fprintf(stderr, "usage: bench_latency serve | ask PORT COUNT\n");
  return 2;
}
