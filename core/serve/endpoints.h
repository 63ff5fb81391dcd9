// What stands behind each path. Paths, parameters, headers, status codes and texts are those of Go's net/http/pprof, where it has them.
// Normal code, one thread.
#pragma once

#include <string>
#include <utility>

#include "core/report/profile_model.h"
#include "core/serve/answer.h"
#include "core/serve/host_process.h"
#include "core/serve/request.h"

namespace prof {

class Endpoints {
 public:
  // fetch_command: how a client that cannot come by itself gets a URL; see IndexPage.
  Endpoints(HostProcess* host, std::string fetch_command) : host_(host), fetch_command_(std::move(fetch_command)) {}

  // Does not throw: what cannot be done is an answer too.
  Reply reply(const Request& request);

 private:
  Reply of_path(const Request& request);
  Reply of_profile(const Request& request, std::string_view name);
  Reply cpu(const Request& request);
  Reply wall(const Request& request, std::string_view name);
  Reply trace(const Request& request);
  Reply delta(const Request& request, std::string_view name, ProfileKind kind);
  Answer set_rate(const Request& request, ProfileKind kind);
  Answer index(const Request& request);
  Answer status(const Request& request);
  Answer metrics();
  Answer cmdline() const;
  Answer symbol(const Request& request);

  // A profile of what was recorded up to now. snapshot: left there where it is asked for.
  Profile collect(ProfileKind kind, Snapshot* snapshot = nullptr);

  HostProcess* const host_;
  const std::string fetch_command_;
};

}  // namespace prof
