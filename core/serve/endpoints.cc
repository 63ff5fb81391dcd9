#include "core/serve/endpoints.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>

#include "core/base/clocks.h"
#include "core/report/file_name.h"
#include "core/report/profile_builder.h"
#include "core/report/profile_delta.h"
#include "core/report/profile_encoder.h"
#include "core/report/profile_text.h"
#include "core/report/snapshot_delta.h"
#include "core/report/stacks_text.h"
#include "core/report/trace_builder.h"
#include "core/serve/index_page.h"
#include "core/serve/metrics_page.h"
#include "core/serve/overview.h"
#include "core/serve/status_page.h"
#include "core/serve/symbol_page.h"

namespace prof {
namespace {

constexpr std::string_view kRoot = "/debug/pprof/";
constexpr double kMostSeconds = 1e8;  // what a clock can be set to, and more than any process lives

// The kinds that are recorded all the time, by the paths they have.
std::optional<ProfileKind> kind_of(std::string_view name) {
  struct Name {
    std::string_view name;
    ProfileKind kind;
  };
  static constexpr Name kNames[] = {
      {"heap", ProfileKind::heap},
      {"allocs", ProfileKind::allocs},
      {"block", ProfileKind::block},
      {"mutex", ProfileKind::mutex},
      {"threadcreate", ProfileKind::threadcreate},
      {"goroutine", ProfileKind::stacks},
      {"stacks", ProfileKind::stacks},
  };
  for (const Name& known : kNames) {
    if (known.name == name) return known.kind;
  }
  return std::nullopt;
}

Answer answer_of(const Profile& profile, std::string file_name) {
  Answer answer;
  answer.type = "application/octet-stream";
  answer.file_name = std::move(file_name);
  answer.body = encode_profile(profile);
  return answer;
}

// How long a client wants to wait: 30 s where it does not say, or says nonsense.
double seconds_of(const Request& request) {
  int64_t seconds = 0;
  if (!parse_integer(request.value("seconds"), &seconds) || seconds <= 0) return 30;
  return std::min(static_cast<double>(seconds), kMostSeconds);
}

// The same of a trace: parts of a second too, and 1 s.
double trace_seconds_of(const Request& request) {
  const std::string text(request.value("seconds"));
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  return is_number && seconds > 0 ? std::min(seconds, kMostSeconds) : 1;
}

bool wants_text(const Request& request) {
  int64_t debug = 0;
  return parse_integer(request.value("debug"), &debug) && debug != 0;
}

struct Moment {
  int64_t unix_ns = clock_ns(CLOCK_REALTIME);
  int64_t monotonic_ns = clock_ns(CLOCK_MONOTONIC);
};

uint64_t ns_since(const Moment& start) {
  return static_cast<uint64_t>(std::max<int64_t>(clock_ns(CLOCK_MONOTONIC) - start.monotonic_ns, 0));
}

std::string since_comment(ProfileKind kind, const HostProcess::Since& since) {
  std::string text = "recorded since " + time_text(since.unix_ns) + ", when it was first asked for";
  if (kHeapKinds.has(kind)) text += ": blocks that were allocated before are not in it";
  return text;
}

// Who asks for what is recorded only meanwhile: held as long as the client is there.
struct Client {
  HostProcess::Counting counting;
  Moment start;
  std::optional<SnapshotBase> base;  // what was there before
};

// Throws Refused, which says what cannot be enabled.
std::shared_ptr<Client> client_of(HostProcess* host, ControlOp op, const char* what, const SnapshotParts& before) {
  std::shared_ptr<Client> client;
  try {
    client = std::shared_ptr<Client>(new Client{{host, op}, {}, {}});
  } catch (const Refused& error) {
    throw Refused(std::string("Could not enable ") + what + ": " + error.what());
  }
  client->start = {};
  client->base.emplace(host->snapshot(before));
  return client;
}

Answer not_allowed(std::string_view methods, std::string text) {
  Answer answer = error_answer(405, std::move(text));
  answer.allow = methods;
  return answer;
}

}  // namespace

Reply Endpoints::reply(const Request& request) {
  try {
    return of_path(request);
  } catch (const std::exception& error) {
    return {error_answer(500, error.what())};
  }
}

Reply Endpoints::of_path(const Request& request) {
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") {
    return {not_allowed("GET, HEAD, POST", "Method not allowed")};
  }
  if (request.path == "/" || request.path == kRoot.substr(0, kRoot.size() - 1)) {
    Answer answer;
    answer.status = 302;
    answer.location = kRoot;
    return {answer};
  }
  if (request.path == kRoot) return index(request);
  if (request.path == "/metrics") return metrics();
  if (request.path == "/debug/fgprof") return wall(request, "fgprof");
  // Where pprof asks for names of a profile that it has not found below kRoot.
  if (request.path == "/symbolz") return {symbol(request)};
  if (!request.path.starts_with(kRoot)) {
    Answer answer = error_answer(404, "404 page not found");
    answer.is_error = false;
    return {answer};
  }
  return of_profile(request, std::string_view(request.path).substr(kRoot.size()));
}

Reply Endpoints::of_profile(const Request& request, std::string_view name) {
  if (name == "profile") return cpu(request);
  // fgprof has no path of its own: it is found at both.
  if (name == "wall" || name == "fgprof") return wall(request, name);
  if (name == "trace") return trace(request);
  if (name == "status") return status(request);
  if (name == "cmdline") return {cmdline()};
  if (name == "symbol") return {symbol(request)};
  const std::optional<ProfileKind> kind = kind_of(name);
  if (!kind) return {error_answer(404, "Unknown profile")};
  const bool has_rate = (*kind == ProfileKind::block && !request.value("rate").empty()) ||
                        (*kind == ProfileKind::mutex && !request.value("fraction").empty());
  if (has_rate) return {set_rate(request, *kind)};
  if (!request.value("seconds").empty()) return delta(request, name, *kind);
  Snapshot snapshot;
  const Profile profile = collect(*kind, &snapshot);
  if (!wants_text(request)) return {answer_of(profile, std::string(name))};
  Answer answer;
  int64_t debug = 0;
  parse_integer(request.value("debug"), &debug);
  answer.body = *kind == ProfileKind::stacks && debug >= 2 ? stacks_text(snapshot, profile, host_->symbolizer())
                                                           : profile_text(profile, *kind, host_->symbolizer());
  return {answer};
}

Profile Endpoints::collect(ProfileKind kind, Snapshot* kept) {
  const HostProcess::Since since = host_->switch_on(kind);
  SnapshotParts parts;
  parts.cumulative = true;
  Snapshot snapshot = kind == ProfileKind::stacks ? host_->snapshot_of_threads() : host_->snapshot(parts);
  host_->look();
  Profile profile;
  switch (kind) {
    case ProfileKind::heap:
      profile = build_heap_profile(snapshot, HeapView::heap, host_->modules(), host_->symbolizer());
      break;
    case ProfileKind::allocs:
      profile = build_heap_profile(snapshot, HeapView::allocs, host_->modules(), host_->symbolizer());
      break;
    case ProfileKind::stacks:
      profile = build_stacks_profile(snapshot, host_->modules(), host_->symbolizer());
      break;
    default:
      profile = build_event_profile(snapshot, kind, host_->modules(), host_->symbolizer());
      break;
  }
  if (!since.from_start && kind != ProfileKind::stacks) profile.comments.push_back(since_comment(kind, since));
  if (kept != nullptr) *kept = std::move(snapshot);
  return profile;
}

Reply Endpoints::delta(const Request& request, std::string_view name, ProfileKind kind) {
  int64_t seconds = 0;
  if (!parse_integer(request.value("seconds"), &seconds) || seconds <= 0) {
    return {error_answer(400, "invalid value for \"seconds\" - must be a positive integer")};
  }
  if (wants_text(request)) return {error_answer(400, "seconds and debug params are incompatible")};
  auto before = std::make_shared<const Profile>(collect(kind));
  Reply reply;
  reply.seconds = std::min(static_cast<double>(seconds), kMostSeconds);
  reply.later = [this, before, kind, file_name = std::string(name) + "-delta"] {
    return answer_of(profile_delta(*before, collect(kind)), file_name);
  };
  return reply;
}

Reply Endpoints::cpu(const Request& request) {
  SnapshotParts parts;
  parts.cpu_total = true;
  const auto client = client_of(host_, ControlOp::count_cpu, "CPU profiling", parts);
  Reply reply;
  reply.seconds = seconds_of(request);
  reply.later = [this, client, parts] {
    const uint64_t duration_ns = ns_since(client->start);
    Snapshot snapshot = host_->snapshot(parts);
    client->base->take_from(&snapshot);
    snapshot.cpu.start_unix_ns = client->start.unix_ns;
    snapshot.cpu.duration_ns = duration_ns;
    host_->look();
    return answer_of(build_cpu_profile(snapshot, host_->modules(), host_->symbolizer()), "profile");
  };
  return reply;
}

Reply Endpoints::wall(const Request& request, std::string_view name) {
  SnapshotParts parts;
  parts.cumulative = true;
  const auto client = client_of(host_, ControlOp::count_wall, "wall-clock profiling", parts);
  Reply reply;
  reply.seconds = seconds_of(request);
  reply.later = [this, client, parts, file_name = std::string(name)] {
    const uint64_t duration_ns = ns_since(client->start);
    Snapshot snapshot = host_->snapshot(parts);
    client->base->take_from(&snapshot);
    snapshot.wall_duration_ns = duration_ns;
    host_->look();
    Profile profile = build_wall_profile(snapshot, host_->modules(), host_->symbolizer());
    profile.time_unix_ns = client->start.unix_ns;
    return answer_of(profile, file_name);
  };
  return reply;
}

Reply Endpoints::trace(const Request& request) {
  const auto client = client_of(host_, ControlOp::trace, "tracing", /*before, of the losses:*/ {});
  Reply reply;
  reply.seconds = trace_seconds_of(request);
  reply.later = [this, client] {
    SnapshotParts parts;
    parts.trace = true;
    parts.trace_from_ns = client->start.monotonic_ns;
    parts.trace_to_ns = clock_ns(CLOCK_MONOTONIC);
    Snapshot snapshot = host_->snapshot(parts);
    client->base->take_from(&snapshot);
    host_->look();
    Answer answer;
    answer.type = "application/octet-stream";
    answer.file_name = "trace.json.gz";
    answer.body = build_trace(snapshot, host_->modules(), host_->symbolizer());
    return answer.body.empty() ? error_answer(500, "there is no memory for the trace") : answer;
  };
  return reply;
}

Answer Endpoints::set_rate(const Request& request, ProfileKind kind) {
  const bool is_block = kind == ProfileKind::block;
  const std::string_view name = is_block ? "rate" : "fraction";
  if (request.method != "POST") {
    return not_allowed("POST", "a " + std::string(name) + " is set by POST");
  }
  int64_t number = 0;
  const int64_t most = is_block ? 1'000'000'000'000 : 1'000'000'000;
  if (!parse_integer(request.value(name), &number) || number < 0 || number > most) {
    return error_answer(
        400, "invalid value for \"" + std::string(name) + "\" - must be an integer from 0 to " + std::to_string(most));
  }
  if (is_block) {
    host_->set_block_rate(number);
  } else {
    host_->set_mutex_fraction(static_cast<uint32_t>(number));
  }
  Answer answer;
  answer.body = std::string(name) + " " + std::to_string(number) + "\n";
  return answer;
}

Answer Endpoints::index(const Request& request) {
  Answer answer;
  answer.type = "text/html; charset=utf-8";
  answer.policy = kIndexContentSecurityPolicy;
  const std::string host = request.host.empty() ? "localhost" : request.host;
  answer.body = index_page(index_of(status_of(host_), "http://" + host, fetch_command_));
  return answer;
}

Answer Endpoints::status(const Request& request) {
  const std::string_view format = request.value("format");
  const bool is_json =
      format == "json" || (format.empty() && request.accept.find("application/json") != std::string::npos);
  Answer answer;
  if (is_json) answer.type = "application/json";
  const Status status = status_of(host_);
  answer.body = is_json ? status_json(status) : status_text(status);
  return answer;
}

Answer Endpoints::metrics() {
  Answer answer;
  answer.type = kMetricsContentType;
  answer.body = metrics_page(status_of(host_));
  return answer;
}

Answer Endpoints::cmdline() const {
  Answer answer;
  answer.body = read_proc_file(proc_folder(host_->pid()) + "cmdline");
  if (!answer.body.empty() && answer.body.back() == '\0') answer.body.pop_back();
  return answer;
}

Answer Endpoints::symbol(const Request& request) {
  host_->look();
  Answer answer;
  answer.body =
      symbol_page(request.method == "POST" ? request.body : request.query, host_->modules(), host_->symbolizer());
  return answer;
}

}  // namespace prof
