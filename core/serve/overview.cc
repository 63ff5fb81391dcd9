#include "core/serve/overview.h"

#include <algorithm>
#include <utility>

#include "core/report/loss_text.h"
#include "core/serve/process_facts.h"
#include "core/serve/why_empty.h"

namespace prof {
namespace {

Recording recording_of(const HostProcess& host, ProfileKind kind) {
  if (!host.settings().usable.has(kind)) return Recording::off;
  if (kind == ProfileKind::stacks) return Recording::always;
  const bool is_sampled = kind == ProfileKind::cpu || kind == ProfileKind::wall || kind == ProfileKind::trace;
  const unsigned clients = kind == ProfileKind::cpu     ? host.counting_cpu()
                           : kind == ProfileKind::wall  ? host.counting_wall()
                           : kind == ProfileKind::trace ? host.tracing()
                                                        : 0;
  if (host.settings().from_start.has(kind) || clients != 0) return Recording::on;
  if (is_sampled) return Recording::at_request;
  return host.since(kind).unix_ns != 0 ? Recording::on : Recording::from_request;
}

StatusSettings settings_of(const HostProcess& host) {
  const ServedSettings& served = host.settings();
  StatusSettings settings;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const auto kind = static_cast<ProfileKind>(i);
    settings.kinds.push_back({kind, recording_of(host, kind), host.since(kind).unix_ns});
  }
  settings.cpu_period_ns = 1'000'000'000 / std::max(served.cpu_hz, 1);
  settings.heap_rate = served.heap_rate;
  settings.block_rate_ns = served.block_rate_ns;
  settings.mutex_fraction = served.mutex_fraction;
  settings.is_paused = host.is_paused();
  return settings;
}

struct Listed {
  const char* name;
  ProfileKind kind;
};
constexpr Listed kListed[] = {
    {"profile", ProfileKind::cpu},      {"wall", ProfileKind::wall},     {"heap", ProfileKind::heap},
    {"allocs", ProfileKind::allocs},    {"block", ProfileKind::block},   {"mutex", ProfileKind::mutex},
    {"goroutine", ProfileKind::stacks}, {"stacks", ProfileKind::stacks}, {"threadcreate", ProfileKind::threadcreate},
    {"fgprof", ProfileKind::wall},      {"trace", ProfileKind::trace},
};

IndexProfile index_profile(const Status& status, const Listed& listed, const KindStatus& kind) {
  IndexProfile profile;
  profile.name = listed.name;
  profile.recording = kind.setting.recording;
  profile.since_unix_ns = kind.setting.since_unix_ns;
  if (listed.kind == ProfileKind::stacks) {
    profile.count = status.threads;
  } else if (listed.kind != ProfileKind::cpu && listed.kind != ProfileKind::wall && listed.kind != ProfileKind::trace) {
    profile.count = static_cast<int64_t>(kind.records);
  }
  const std::vector<std::string> reasons = why_empty(status, kind);
  // How it is switched on stands beside it anyway.
  const bool says_how =
      kind.setting.recording == Recording::at_request || kind.setting.recording == Recording::from_request;
  if (!reasons.empty() && !says_how) profile.note = reasons.front();
  return profile;
}

}  // namespace

Status status_of(HostProcess* host) {
  host->refresh();
  SnapshotParts parts;
  parts.cumulative = true;
  parts.cpu_total = true;
  const Snapshot snapshot = host->snapshot(parts);
  return status_from_snapshot(snapshot, settings_of(*host), process_facts(host->pid(), snapshot.tids),
                              ModuleMap::of_process(host->pid()));
}

IndexPage index_of(const Status& status, std::string origin, std::string fetch_command) {
  IndexPage page;
  page.command_line = status.process.command_line;
  page.pid = status.pid;
  page.host = status.process.host;
  page.started_unix_ns = status.process.started_unix_ns;
  page.now_unix_ns = status.process.now_unix_ns;
  page.origin = std::move(origin);
  page.fetch_command = std::move(fetch_command);
  for (const Listed& listed : kListed) {
    for (const KindStatus& kind : status.kinds) {
      if (kind.setting.kind == listed.kind) page.profiles.push_back(index_profile(status, listed, kind));
    }
  }
  for (unsigned i = 0; i < kLossCauses; ++i) {
    if (status.losses[i] == 0) continue;
    page.losses.push_back(std::string(loss_text(static_cast<LossCause>(i))) + ": " + std::to_string(status.losses[i]));
  }
  return page;
}

}  // namespace prof
