#include "core/serve/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/base/clocks.h"

namespace prof {
namespace {

constexpr int64_t kMostNs = 2'000'000'000;

}  // namespace

void Control::tell(ControlOp op) {
  const ControlMessage message = {op, ++sequence_, 0, 0, 0};
  send(descriptor_, &message, sizeof(message), MSG_NOSIGNAL);
}

std::optional<ControlMessage> Control::ask(ControlOp op, uint64_t value) {
  if (!is_there() || is_silent_) return std::nullopt;
  const ControlMessage question = {op, ++sequence_, value, 0, 0};
  if (send(descriptor_, &question, sizeof(question), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(question))) {
    return std::nullopt;
  }
  const int64_t until = clock_ns(CLOCK_MONOTONIC) + kMostNs;
  for (int64_t left = kMostNs; left > 0; left = until - clock_ns(CLOCK_MONOTONIC)) {
    struct pollfd ready = {descriptor_, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(left / 1'000'000) + 1) <= 0) continue;
    ControlMessage answer;
    const ssize_t bytes = recv(descriptor_, &answer, sizeof(answer), MSG_DONTWAIT);
    if (bytes == 0) return std::nullopt;
    if (bytes == static_cast<ssize_t>(sizeof(answer)) && answer.sequence == question.sequence) return answer;
  }
  is_silent_ = true;
  return std::nullopt;
}

void Control::order(ControlOp op, uint64_t value) {
  if (ask(op, value) || !is_silent_) return;
  const ControlMessage message = {op, ++sequence_, value, 0, 0};
  send(descriptor_, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool Control::is_there() {
  ControlMessage late;
  for (;;) {
    const ssize_t bytes = recv(descriptor_, &late, sizeof(late), MSG_DONTWAIT);
    if (bytes == 0) return false;
    if (bytes < 0) return errno == EAGAIN || errno == EINTR;
    is_silent_ &= late.sequence != sequence_;
  }
}

}  // namespace prof
