#include "core/serve/status_page.h"

#include <algorithm>

#include "core/report/loss_text.h"
#include "core/serve/json_text.h"
#include "core/serve/shown_text.h"
#include "core/serve/why_empty.h"

namespace prof {
namespace {

constexpr unsigned kMostNamed = 20;  // threads in one list

std::string_view state_name(Recording recording) {
  switch (recording) {
    case Recording::always:
      return "always";
    case Recording::on:
      return "on";
    case Recording::at_request:
      return "at_request";
    case Recording::from_request:
      return "from_request";
    case Recording::off:
      break;
  }
  return "off";
}

std::string state_text(const Status& status, const KindSetting& setting) {
  switch (setting.recording) {
    case Recording::always:
      return "at any time";
    case Recording::on:
      return "recorded since " + utc_text(setting.since_unix_ns) + " (" +
             duration_text(status.process.now_unix_ns - setting.since_unix_ns) + ")";
    case Recording::at_request:
      return "recorded while asked for";
    case Recording::from_request:
      return "recorded from the first request on";
    case Recording::off:
      break;
  }
  return "not recorded";
}

std::string padded(std::string_view text, size_t width) {
  return std::string(text) + std::string(width - std::min(width, text.size()), ' ');
}

// A text in a line: nobody's name makes two of it.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }, '?');
  return text;
}

std::string samples_text(const KindStatus& kind) {
  switch (kind.setting.kind) {
    case ProfileKind::cpu:
    case ProfileKind::wall:
      return counted_text(kind.samples, "sample") + ", " + duration_text(static_cast<int64_t>(kind.ns));
    case ProfileKind::heap:
    case ProfileKind::allocs:
      return counted_text(kind.samples, "sampled block") + ", " +
             count_text(kind.samples - std::min(kind.freed, kind.samples)) + " in use";
    case ProfileKind::block:
    case ProfileKind::mutex:
      return counted_text(kind.samples, "wait") + ", " + duration_text(static_cast<int64_t>(kind.ns));
    case ProfileKind::threadcreate:
      return counted_text(kind.samples, "thread") + " made";
    case ProfileKind::trace:
      return "events of each thread, the last ones";
    default:
      return counted_text(kind.records, "thread");
  }
}

std::string losses_text(const Status& status, bool truncations) {
  std::string text;
  for (unsigned i = 0; i < kLossCauses; ++i) {
    const auto cause = static_cast<LossCause>(i);
    if (status.losses[i] == 0 || is_truncation(cause) != truncations) continue;
    text += "  " + std::string(loss_text(cause)) + ": " + count_text(status.losses[i]);
    if (status.lost_ticks[i] != 0) text += " (CPU samples: " + count_text(status.lost_ticks[i]) + ")";
    text += "\n";
  }
  return text.empty() ? "  none\n" : text;
}

std::string signal_text(const Status& status) {
  std::string text = "  SIGPROF: ";
  text += status.losses_of(LossCause::sigprof_taken) != 0 ? "the program's own\n" : "not handled by the program\n";
  const auto& blocking = status.process.sigprof_blocked_by;
  text += "  threads that block it: " + count_text(blocking.size()) + " of " + count_text(status.threads) + "\n";
  for (size_t i = 0; i < std::min<size_t>(blocking.size(), kMostNamed); ++i) {
    text += "    " + std::to_string(blocking[i].tid) + " \"" + one_line(blocking[i].name) + "\"\n";
  }
  if (blocking.size() > kMostNamed) text += "    and " + count_text(blocking.size() - kMostNamed) + " more\n";
  return text;
}

std::string malloc_text(const Status& status) {
  std::string text = "  malloc: ";
  text += status.foreign_malloc.empty() ? "calls come by libprof, where heap or allocs is recorded\n"
                                        : one_line(status.foreign_malloc) + ", which libprof does not see\n";
  for (const UnreachedCode& code : status.unreached) text += "  " + one_line(code.file) + ": " + code.what + "\n";
  return text;
}

std::string own_text(const Status& status) {
  return "  memory in the program: " + bytes_text(status.region_bytes) +
         ", of which used: " + bytes_text(status.region_used) +
         "\n  times that it could not have more: " + count_text(status.region_refusals) +
         "\n  memory of the server: " + bytes_text(status.process.own_memory_bytes) +
         "\n  CPU time of the server: " + duration_text(status.process.own_cpu_ns) + "\n";
}

void write_process(const Status& status, JsonText* json) {
  const ProcessFacts& process = status.process;
  json->key("process").open('{').key("program").text(status.program).key("pid").number(status.pid);
  json->key("command_line").open('[');
  for (const std::string& word : process.command_line) json->text(word);
  json->close(']').key("host").text(process.host).key("start_unix_ns").number(process.started_unix_ns);
  json->key("now_unix_ns").number(process.now_unix_ns).key("cpu_ns").number(process.cpu_ns);
  json->key("threads").number(status.threads).key("waits_now").number(status.waits_now);
  json->key("longest_wait_now_ns").number(status.longest_wait_now_ns).close('}');
}

void write_kinds(const Status& status, JsonText* json) {
  json->key("profiles").open('[');
  for (const KindStatus& kind : status.kinds) {
    json->open('{').key("kind").text(name_of(kind.setting.kind));
    json->key("recording").text(state_name(kind.setting.recording));
    json->key("since_unix_ns").number(kind.setting.since_unix_ns);
    json->key("records").number(kind.records).key("samples").number(kind.samples).key("ns").number(kind.ns);
    json->key("freed").number(kind.freed).key("why_empty").open('[');
    for (const std::string& sentence : why_empty(status, kind)) json->text(sentence);
    json->close(']').close('}');
  }
  json->close(']');
}

void write_losses(const Status& status, JsonText* json) {
  json->key("losses").open('[');
  for (unsigned i = 0; i < kLossCauses; ++i) {
    const auto cause = static_cast<LossCause>(i);
    json->open('{').key("cause").text(loss_name(cause)).key("text").text(loss_text(cause));
    json->key("count").number(status.losses[i]).key("cpu_samples").number(status.lost_ticks[i]);
    json->key("profiles").open('[');
    for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
      if (loss_concerns(cause, static_cast<ProfileKind>(kind))) json->text(name_of(static_cast<ProfileKind>(kind)));
    }
    json->close(']').close('}');
  }
  json->close(']');
}

}  // namespace

std::string status_text(const Status& status) {
  const ProcessFacts& process = status.process;
  std::string text = one_line(status.program) + ", pid " + std::to_string(status.pid) + " on " +
                     one_line(process.host) + ", up " + duration_text(process.now_unix_ns - process.started_unix_ns) +
                     ", " + duration_text(process.cpu_ns) + " of CPU time, " + counted_text(status.threads, "thread") +
                     "\n" + utc_text(process.now_unix_ns) + "\n\nProfiles\n";
  for (const KindStatus& kind : status.kinds) {
    text += "  " + padded(name_of(kind.setting.kind), 14) + padded(samples_text(kind), 44) + "  " +
            state_text(status, kind.setting) + "\n";
  }
  text += "\nWhy a profile is empty, or has less than expected\n";
  for (const KindStatus& kind : status.kinds) {
    std::string_view name = name_of(kind.setting.kind);
    for (const std::string& sentence : why_empty(status, kind)) {
      text += "  " + padded(name, 14) + one_line(sentence) + "\n";
      name = "";
    }
  }
  if (text.ends_with("expected\n")) text += "  nothing is known that would make it so\n";
  text += "\nLost, since recording began\n" + losses_text(status, /*truncations=*/false);
  text += "\nStacks that end early\n" + losses_text(status, /*truncations=*/true);
  text += "\nThe program's signals and allocators\n" + signal_text(status) + malloc_text(status);
  return text + "\nlibprof itself\n" + own_text(status);
}

std::string status_json(const Status& status) {
  JsonText json;
  json.open('{');
  write_process(status, &json);
  write_kinds(status, &json);
  write_losses(status, &json);
  json.key("settings").open('{').key("cpu_period_ns").number(status.settings.cpu_period_ns);
  json.key("heap_rate_bytes").number(status.settings.heap_rate);
  json.key("block_rate_ns").number(status.settings.block_rate_ns);
  json.key("mutex_fraction").number(status.settings.mutex_fraction);
  json.key("paused").boolean(status.settings.is_paused).close('}');
  json.key("sigprof").open('{').key("taken_by_program").boolean(status.losses_of(LossCause::sigprof_taken) != 0);
  json.key("blocked_by").open('[');
  for (const BlockingThread& thread : status.process.sigprof_blocked_by) {
    json.open('{').key("tid").number(thread.tid).key("name").text(thread.name).close('}');
  }
  json.close(']').close('}').key("foreign_malloc").text(status.foreign_malloc);
  json.key("unreached").open('[');
  for (const UnreachedCode& code : status.unreached) {
    json.open('{').key("file").text(code.file).key("text").text(code.what).close('}');
  }
  json.close(']');
  json.key("own").open('{').key("region_bytes").number(status.region_bytes);
  json.key("region_used_bytes").number(status.region_used).key("region_refusals").number(status.region_refusals);
  json.key("server_memory_bytes").number(status.process.own_memory_bytes);
  json.key("server_cpu_ns").number(status.process.own_cpu_ns).close('}');
  return json.close('}').take() + "\n";
}

}  // namespace prof
