#include "core/serve/session.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <optional>

namespace prof {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Socket = boost::asio::generic::stream_protocol::socket;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kHeaderBytes = 8 * 1024;
constexpr unsigned kBodyBytes = 1024 * 1024;
constexpr seconds kRequestTime{10};
constexpr seconds kIdleTime{60};
constexpr seconds kAnswerTime{30};
constexpr size_t kAnswerBytesPerSecond = 32 * 1024;
constexpr seconds kTakesNothing{1};
constexpr seconds kLookEvery{1};

std::string_view view_of(boost::beast::string_view text) { return {text.data(), text.size()}; }
boost::beast::string_view view_of(const std::string& text) { return {text.data(), text.size()}; }

// Beast's limit is one of what is parsed at a time: fields that come in packets of their own begin it anew.
class RequestParser final : public http::request_parser<http::string_body> {
  void on_field_impl(http::field name, boost::beast::string_view text, boost::beast::string_view value,
                     error_code& error) override {
    if (bytes_ == 0) bytes_ = get().target().size();
    bytes_ += text.size() + value.size() + 4;
    if (bytes_ > kHeaderBytes) {
      error = http::error::header_limit;
    } else {
      get().insert(name, text, value);
    }
  }

  size_t bytes_ = 0;
};

class HttpSession final : public Session, public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(boost::asio::io_context* context, int descriptor, const SessionRules* rules,
              std::function<void(Session*)> on_end)
      : rules_(rules),
        on_end_(std::move(on_end)),
        socket_(*context, boost::asio::generic::stream_protocol(AF_UNSPEC, 0), descriptor),
        deadline_(*context),
        wait_(*context),
        look_(*context),
        buffer_(kHeaderBytes + kBodyBytes) {}
  ~HttpSession() override { on_end_(this); }

  // The first request has no longer than a request has: who connects has something to ask.
  void start() { await_request(kRequestTime); }
  Loss loss() override {
    if (loss_ == Loss::untaken_answer) return Clock::now() - taken_at_ < kTakesNothing ? Loss::work : loss_;
    if (loss_ == Loss::work || is_hanging_up_) return loss_;
    char next;
    return recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? Loss::unread : loss_;
  }
  void end() override {
    is_last_ = true;
    if (!later_) return loss() == Loss::nothing && !is_hanging_up_ ? close() : void();
    later_ = nullptr;
    error_code ignored;
    wait_.cancel(ignored);
    look_.cancel(ignored);
    socket_.cancel(ignored);
    send(error_answer(503, "the process has ended, or executes another program, before that time was over"));
  }
  void close() override {
    later_ = nullptr;
    error_code ignored;
    deadline_.cancel(ignored);
    wait_.cancel(ignored);
    look_.cancel(ignored);
    socket_.close(ignored);
  }

 private:
  void set_deadline(std::chrono::nanoseconds time) {
    deadline_.expires_after(time);
    deadline_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->close();
    });
  }

  void await_request(std::chrono::nanoseconds time) {
    parser_.emplace();
    parser_->header_limit(kHeaderBytes);
    parser_->body_limit(kBodyBytes);
    set_deadline(time);
    if (buffer_.size() != 0) return read_header();
    loss_ = Loss::nothing;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      if (!error) self->read_header();
    });
  }

  void read_header() {
    loss_ = Loss::part_of_request;
    set_deadline(kRequestTime);
    http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->refuse_request(error);
      self->on_header();
    });
  }

  // Who is not let in is told before anything else is read.
  void on_header() {
    const auto& head = parser_->get();
    keeps_alive_ = head.keep_alive();
    is_head_ = head.method() == http::verb::head;
    const std::string_view host = view_of(head[http::field::host]);
    if (rules_->gate.checks_host && head.version() >= 11 && head.count(http::field::host) != 1) {
      return refuse(error_answer(400, "400 Bad Request: one Host header is needed"));
    }
    // What stands behind another coding would be taken for the next request.
    const size_t codings = head.count(http::field::transfer_encoding);
    const bool is_chunked = boost::beast::iequals(head[http::field::transfer_encoding], "chunked");
    if (codings > 1 || (codings == 1 && !is_chunked)) {
      return refuse(error_answer(501, "501 Unsupported transfer encoding"));
    }
    const std::optional<std::string_view> named = host_of_target(view_of(head.target()));
    if (!named) return refuse(error_answer(400, "400 Bad Request: the target is neither a path nor a URL"));
    const bool has_host = head.count(http::field::host) != 0;
    const std::string_view authorization = view_of(head[http::field::authorization]);
    Admission admission = admit(rules_->gate, has_host ? host : "localhost", authorization);
    if (admission == Admission::granted && !named->empty()) admission = admit(rules_->gate, *named, authorization);
    switch (admission) {
      case Admission::granted:
        break;
      case Admission::other_host:
        return refuse(
            error_answer(403, "this is not the host of that name (the Host header is checked: PROF_HTTP names it)"));
      case Admission::no_token: {
        Answer answer = error_answer(
            401, "a token is needed: Authorization: Bearer TOKEN (or as the password of http://user:password@host)");
        answer.challenge = "Bearer, Basic realm=\"profiles\"";
        return refuse(std::move(answer));
      }
    }
    if (is_from_elsewhere(host, view_of(head[http::field::origin]), view_of(head["Sec-Fetch-Site"]),
                          view_of(head["Sec-Fetch-Mode"]))) {
      return refuse(error_answer(403, "a web page of another place asks for it"));
    }
    if (parser_->is_done()) return on_request();
    if (view_of(head[http::field::expect]) != "100-continue") return read_body();
    auto more = std::make_shared<const std::string>("HTTP/1.1 100 Continue\r\n\r\n");
    boost::asio::async_write(socket_, boost::asio::buffer(*more),
                             [self = shared_from_this(), more](error_code error, size_t) {
                               if (!error) self->read_body();
                             });
  }

  void read_body() {
    http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->refuse_request(error);
      self->on_request();
    });
  }

  void on_request() {
    loss_ = Loss::work;
    error_code ignored;
    deadline_.cancel(ignored);
    const auto& message = parser_->get();
    Request request = parse_request(view_of(message.method_string()), view_of(message.target()));
    request.body = message.body();
    request.accept = view_of(message[http::field::accept]);
    request.host = view_of(message[http::field::host]);
    if (request.method == "POST" &&
        view_of(message[http::field::content_type]).starts_with("application/x-www-form-urlencoded")) {
      add_form_values(request.body, &request);
    }
    Reply reply = rules_->reply(request);
    if (!reply.later) return send(std::move(reply.now));
    later_ = std::move(reply.later);
    wait_.expires_after(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(reply.seconds)));
    wait_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->on_time();
    });
    watch_client();
  }

  void on_time() {
    if (!later_) return;
    error_code ignored;
    look_.cancel(ignored);
    socket_.cancel(ignored);
    Answer answer;
    try {
      answer = later_();
    } catch (const std::exception& error) {
      answer = error_answer(500, error.what());
    }
    later_ = nullptr;
    send(std::move(answer));
  }

  // While an answer waits: one that closes its end is gone. One that has sent already what comes next is looked at now and
  // then.
  void watch_client() {
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      if (error || !self->later_) return;
      if (self->is_gone()) return self->close();
      self->look_.expires_after(kLookEvery);
      self->look_.async_wait([self](error_code stopped) {
        if (!stopped && self->later_) self->watch_client();
      });
    });
  }

  bool is_gone() {
    char next;
    const ssize_t bytes = recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
    if (bytes <= 0) return bytes == 0 || (errno != EAGAIN && errno != EINTR);
    struct pollfd end = {socket_.native_handle(), POLLRDHUP, 0};
    return poll(&end, 1, 0) > 0;
  }

  void refuse(Answer answer) {
    keeps_alive_ = false;
    send(std::move(answer));
  }

  void refuse_request(error_code error) {
    if (error == http::error::header_limit) return refuse(error_answer(431, "431 Request Header Fields Too Large"));
    if (error == http::error::body_limit) return refuse(error_answer(413, "413 Request Entity Too Large"));
    const bool is_malformed = error.category() == make_error_code(http::error::bad_method).category() &&
                              error != http::error::end_of_stream && error != http::error::partial_message;
    if (is_malformed) return refuse(error_answer(400, "400 Bad Request"));
    close();
  }

  void send(Answer answer) {
    response_.emplace();
    auto& response = *response_;
    response.version(11);
    response.result(answer.status);
    response.set("X-Content-Type-Options", "nosniff");
    response.set(http::field::content_type, view_of(answer.type));
    if (answer.is_error) response.set("X-Go-Pprof", "1");
    if (!answer.file_name.empty()) {
      response.set(http::field::content_disposition, "attachment; filename=\"" + answer.file_name + "\"");
    }
    if (!answer.allow.empty()) response.set(http::field::allow, view_of(answer.allow));
    if (!answer.location.empty()) response.set(http::field::location, view_of(answer.location));
    if (!answer.policy.empty()) response.set("Content-Security-Policy", view_of(answer.policy));
    if (!answer.challenge.empty()) response.set(http::field::www_authenticate, view_of(answer.challenge));
    response.set(http::field::cache_control, "no-store");
    if (is_last_) keeps_alive_ = false;
    response.keep_alive(keeps_alive_);
    const size_t bytes = answer.body.size();
    response.body() = std::move(answer.body);
    response.content_length(bytes);
    if (is_head_) response.body().clear();
    serializer_.emplace(response);
    answer_until_ = Clock::now() + kAnswerTime + seconds(bytes / kAnswerBytesPerSecond);
    send_some();
  }

  void send_some() {
    loss_ = Loss::untaken_answer;
    taken_at_ = Clock::now();
    set_deadline(std::min<Clock::duration>(kAnswerTime, answer_until_ - taken_at_));
    http::async_write_some(socket_, *serializer_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->close();
      if (!self->serializer_->is_done()) return self->send_some();
      self->serializer_.reset();
      self->response_.reset();
      if (!self->keeps_alive_ || self->is_last_) return self->hang_up();
      self->await_request(kIdleTime);
    });
  }

  // What the client still sends is read for a moment: to close on it would take the answer away from it.
  void hang_up() {
    loss_ = Loss::nothing;
    is_hanging_up_ = true;
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    set_deadline(milliseconds(500));
    drain();
  }
  void drain() {
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      char rest[4096];
      if (error || recv(self->socket_.native_handle(), rest, sizeof(rest), MSG_DONTWAIT) <= 0) return self->close();
      self->drain();
    });
  }

  const SessionRules* const rules_;
  const std::function<void(Session*)> on_end_;
  Socket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer wait_;
  boost::asio::steady_timer look_;
  boost::beast::flat_buffer buffer_;
  std::optional<RequestParser> parser_;
  std::optional<http::response<http::string_body>> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  Clock::time_point taken_at_;      // when some of the answer was, last
  Clock::time_point answer_until_;  // when it is given up
  std::function<Answer()> later_;
  Loss loss_ = Loss::nothing;
  bool is_hanging_up_ = false;
  bool is_last_ = false;  // nothing is answered after this
  bool keeps_alive_ = false;
  bool is_head_ = false;
};

}  // namespace

const char* const kTooManyClients =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    "X-Go-Pprof: 1\r\nRetry-After: 1\r\nContent-Length: 17\r\nConnection: close\r\n\r\ntoo many clients\n";

std::shared_ptr<Session> start_session(boost::asio::io_context* context, int descriptor, const SessionRules* rules,
                                       std::function<void(Session*)> on_end) {
  auto session = std::make_shared<HttpSession>(context, descriptor, rules, std::move(on_end));
  session->start();
  return session;
}

}  // namespace prof
