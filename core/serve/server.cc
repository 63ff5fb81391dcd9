#include "core/serve/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "core/base/clocks.h"
#include "core/base/rights.h"
#include "core/report/http_address.h"
#include "core/report/module_map.h"
#include "core/serve/control.h"
#include "core/serve/endpoints.h"
#include "core/serve/host_process.h"
#include "core/serve/listening_sockets.h"
#include "core/serve/session.h"
#include "core/serve/token_file.h"

namespace prof {
namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr size_t kMostClients = 64;
constexpr rlim_t kMostDescriptors = 4 * kMostClients;  // that it ever has open, symbols' files included
constexpr std::chrono::seconds kLookEvery{1};
constexpr std::chrono::seconds kLastAnswers{1};
constexpr int64_t kPortOfEarlierNs = 300'000'000;
constexpr int kLooksUntilRest = 300;  // without a request

class Server {
 public:
  Server(const ServerArguments& arguments, Control* control, const ListeningSocket& socket, std::string token)
      : host_(arguments, control),
        endpoints_(&host_, fetch_command(arguments, socket)),
        socket_(socket),
        listener_(context_, socket.descriptor),
        control_(context_, control->descriptor()),
        signals_(context_),
        look_(context_),
        pause_(context_),
        region_(arguments.region) {
    rules_.gate.checks_host = !socket.is_unix;
    rules_.gate.is_beyond_loopback = socket.is_beyond_loopback;
    rules_.gate.token = std::move(token);
    HttpAddress address;
    parse_http_address(arguments.address, &address);
    add_name(address.host);
    if (socket.is_beyond_loopback) {
      char own[256] = {};
      if (gethostname(own, sizeof(own) - 1) == 0) add_name(own);
    }
    rules_.reply = [this](const Request& request) {
      looks_without_request_ = 0;
      return endpoints_.reply(request);
    };
  }

  void run() {
    if (socket_.is_unix) lstat(socket_.address.c_str(), &own_file_);
    await_client();
    await_end();
    error_code none_left;
    signals_.assign(descriptor_of_end_signal(), none_left);
    if (!none_left) await_end_signal();
    look_at_host();
    // What a handler throws (there is no memory, a parser's assertion does not hold) ends what it served: nothing refers
    // to that any more.
    while (!context_.stopped()) {
      try {
        context_.run();
      } catch (const std::exception&) {
      }
    }
  }

 private:
  // Without one, `go tool pprof` fetches by itself.
  static std::string fetch_command(const ServerArguments& arguments, const ListeningSocket& socket) {
    std::string command;
    if (socket.is_unix) command += " --unix-socket '" + socket.address + "'";
    if (!arguments.token_file.empty()) {
      command += " -H \"Authorization: Bearer $(cat '" + std::string(arguments.token_file) + "')\"";
    }
    return command.empty() ? command : "curl --fail" + command;
  }

  void add_name(std::string_view name) {
    std::string lower(name);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!lower.empty()) rules_.gate.names.push_back(std::move(lower));
  }

  void await_client() {
    listener_.async_wait(stream_descriptor::wait_read, [this](error_code error) {
      if (!error) accept_client();
    });
  }

  void accept_client() {
    if (is_ending_) return;
    // Where all have sent what is not read yet it is the server that is slow, and not they: it reads first.
    constexpr int kMostPauses = 3;
    if (sessions_.size() >= kMostClients && least_loss().second >= Session::Loss::unread && pauses_++ < kMostPauses) {
      return pause_then([this] { accept_client(); }, std::chrono::milliseconds(1));
    }
    pauses_ = 0;
    const int descriptor = accept4(socket_.descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      await_client();
      return welcome(descriptor);
    }
    const bool is_worth_a_try = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (!is_worth_a_try && !make_room()) {
      // No descriptors, no memory: not at once again.
      return pause_then([this] { await_client(); }, std::chrono::milliseconds(100));
    }
    await_client();
  }

  template <typename Next>
  void pause_then(Next next, std::chrono::milliseconds time) {
    pause_.expires_after(time);
    pause_.async_wait([next](error_code) { next(); });
  }

  void welcome(int descriptor) {
    if (socket_.is_unix && !is_own_user(descriptor)) {
      close(descriptor);
      return;
    }
    if (sessions_.size() >= kMostClients && !make_room()) {
      send(descriptor, kTooManyClients, strlen(kTooManyClients), MSG_DONTWAIT | MSG_NOSIGNAL);
      shutdown(descriptor, SHUT_WR);
      close(descriptor);
      return;
    }
    sessions_.push_back(start_session(&context_, descriptor, &rules_, [this](Session* ended) {
      sessions_.remove_if([ended](const std::weak_ptr<Session>& session) {
        const auto alive = session.lock();
        return alive == nullptr || alive.get() == ended;
      });
      if (is_ending_ && sessions_.empty()) context_.stop();
    }));
  }

  // The same user, or root.
  static bool is_own_user(int descriptor) {
    struct ucred peer = {};
    socklen_t bytes = sizeof(peer);
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
  }

  // Of those with which the least is lost, the one that has been there for longest; where all are at work, none.
  std::pair<std::shared_ptr<Session>, Session::Loss> least_loss() const {
    std::pair<std::shared_ptr<Session>, Session::Loss> least = {nullptr, Session::Loss::work};
    for (const std::weak_ptr<Session>& session : sessions_) {
      auto alive = session.lock();
      const Session::Loss loss = alive == nullptr ? Session::Loss::work : alive->loss();
      if (loss < least.second) least = {std::move(alive), loss};
    }
    return least;
  }

  // False: none may be closed.
  bool make_room() {
    const std::shared_ptr<Session> chosen = least_loss().first;
    if (chosen == nullptr) return false;
    chosen->close();
    sessions_.remove_if([&](const std::weak_ptr<Session>& other) { return other.lock() == chosen; });
    return true;
  }

  void await_end() {
    control_.async_wait(stream_descriptor::wait_read, [this](error_code error) {
      if (error || !host_.is_there()) return end();
      await_end();
    });
  }

  // Blocked it is, like every other: the mask is that of who started this process.
  static int descriptor_of_end_signal() {
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, kServerEndSignal);
    return signalfd(-1, &only, SFD_NONBLOCK | SFD_CLOEXEC);
  }

  void await_end_signal() {
    signals_.async_wait(stream_descriptor::wait_read, [this](error_code error) {
      if (error) return;
      struct signalfd_siginfo sent = {};
      if (read(signals_.native_handle(), &sent, sizeof(sent)) == static_cast<ssize_t>(sizeof(sent)) &&
          sent.ssi_code == SI_QUEUE && static_cast<int>(sent.ssi_pid) == host_.pid() && sent.ssi_ptr == region_) {
        return end();
      }
      await_end_signal();
    });
  }

  // Where the program's own threads have ended without ending it, those of libprof would keep it: so this ends, and they.
  void look_at_host() {
    look_.expires_after(kLookEvery);
    look_.async_wait([this](error_code error) {
      if (error) return;
      look_at_host();
      if (!host_.is_there() || !host_.has_threads()) return end();
      take_rights_of((proc_folder(host_.pid()) + "status").c_str());
      if (++looks_without_request_ == kLooksUntilRest) host_.rest();
    });
  }

  // Whoever has asked for something is told. The process goes on without waiting for that, and the address is free for what it executes.
  void end() {
    if (is_ending_) return;
    is_ending_ = true;
    look_.expires_after(kLastAnswers);
    look_.async_wait([this](error_code error) {
      if (!error) context_.stop();
    });
    struct stat now = {};
    if (socket_.is_unix && lstat(socket_.address.c_str(), &now) == 0 && now.st_ino == own_file_.st_ino)
      unlink(socket_.address.c_str());
    error_code ignored;
    listener_.close(ignored);
    shutdown(control_.native_handle(), SHUT_RDWR);
    std::vector<std::shared_ptr<Session>> sessions;
    for (const std::weak_ptr<Session>& session : sessions_) sessions.push_back(session.lock());
    for (const auto& session : sessions) {
      if (session != nullptr) session->end();
    }
    sessions.clear();
    if (sessions_.empty()) context_.stop();
  }

  std::list<std::weak_ptr<Session>> sessions_;  // which end with the context, at the latest
  boost::asio::io_context context_{1};
  HostProcess host_;
  Endpoints endpoints_;
  SessionRules rules_;
  const ListeningSocket socket_;
  stream_descriptor listener_;
  stream_descriptor control_;
  stream_descriptor signals_;
  boost::asio::steady_timer look_;
  boost::asio::steady_timer pause_;
  const uint64_t region_;
  int looks_without_request_ = 0;
  int pauses_ = 0;
  struct stat own_file_ = {};  // of a unix socket
  bool is_ending_ = false;
};

// What was the program's by inheritance.
void take_own_place() {
  prctl(PR_SET_NAME, "libprof-server");
  const struct sched_param none = {};
  sched_setscheduler(0, SCHED_OTHER, &none);
  // A program may have little use for descriptors; its server has clients.
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kMostDescriptors) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kMostDescriptors);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (chdir("/") != 0) return;
}

int leave(Control* control, const ServerArguments& arguments, const std::string& why) {
  LogLine(LogLevel::error) << "PROF_HTTP: '" << arguments.value << "' cannot be served: " << why;
  control->tell(ControlOp::leaving);
  return 1;
}

void say_where(const ServerArguments& arguments, const HttpAddress& address, const ListeningSocket& socket) {
  const bool is_news = socket.is_elsewhere || (!socket.is_unix && address.port == 0);
  LogLine line(is_news ? LogLevel::warn : LogLevel::info);
  line << "PROF_HTTP: process " << arguments.pid << " is served at " << (socket.is_unix ? "unix:" : "")
       << socket.address;
  if (!socket.is_unix) line << "/debug/pprof/";
}

// Its stderr is not kept open for it.
void let_go_of_stderr() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, STDERR_FILENO);
  close(null);
}

}  // namespace

int serve(const ServerArguments& arguments) {
  take_own_place();
  Control control(arguments.control);
  HttpAddress address;
  parse_http_address(arguments.address, &address);
  Token token;
  if (!arguments.token_file.empty()) {
    token = read_token(std::string(arguments.token_file));
    if (!token.error.empty()) {
      return leave(&control, arguments,
                   "PROF_HTTP_TOKEN_FILE: '" + std::string(arguments.token_file) + "': " + token.error);
    }
  }
  ListeningRules rules;
  rules.may_go_beyond_loopback = !token.text.empty();
  rules.may_go_elsewhere = arguments.is_child;
  rules.wait = [&control](int milliseconds) {
    struct pollfd ready = {control.descriptor(), POLLIN, 0};
    poll(&ready, 1, milliseconds);
    return control.is_there();
  };
  const int64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
  const ListeningSocket socket = listen_at(address, rules);
  if (!control.is_there()) {
    // Of programs that execute one another at once, the earlier one's server may have had the port.
    const bool is_anothers = clock_ns(CLOCK_MONOTONIC) - begun_ns > kPortOfEarlierNs;
    return is_anothers && !socket.error.empty() ? leave(&control, arguments, socket.error) : 0;
  }
  if (!socket.error.empty()) return leave(&control, arguments, socket.error);
  say_where(arguments, address, socket);
  let_go_of_stderr();
  control.tell(ControlOp::listening);
  Server server(arguments, &control, socket, token.text);
  server.run();
  return 0;
}

}  // namespace prof
