// One connection: its requests, one after the other, and their limits. Normal code, one thread.
//
//   headers of 8 KiB, a body of 1 MiB; 10 s for a request to come, 60 s for the next one to begin; an answer is given up where
//   less than 32 KiB of it are taken a second, or nothing in 30. A client that goes away ends what it waits for.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "core/serve/answer.h"
#include "core/serve/gate.h"
#include "core/serve/request.h"

namespace prof {

// What sessions share.
struct SessionRules {
  Gate gate;
  std::function<Reply(const Request&)> reply;
};

class Session {
 public:
  virtual ~Session() = default;
  // What goes with it where it is closed for a newer client, the least first: nothing, while it waits for a request; what came of one so
  // far; an answer that its client has taken none of for a second; what its client has sent and the server has not read yet; or what a
  // client waits for, and it is not to be closed.
  enum class Loss { nothing, part_of_request, untaken_answer, unread, work };
  virtual Loss loss() = 0;
  virtual void close() = 0;
  // The process is not there any more: what waits for it is answered so, what waits for a request is closed, and the rest ends as soon as
  // its answer is sent.
  virtual void end() = 0;
};

// Starts one for a connected socket. It lives as long as it has something to do; on_end is called at its end.
std::shared_ptr<Session> start_session(boost::asio::io_context* context, int descriptor, const SessionRules* rules,
                                       std::function<void(Session*)> on_end);

// What a client gets that is one too many: sent without waiting.
extern const char* const kTooManyClients;

}  // namespace prof
