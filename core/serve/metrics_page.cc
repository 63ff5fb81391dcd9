#include "core/serve/metrics_page.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "core/report/loss_text.h"
#include "core/report/profile_encoder.h"

namespace prof {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

std::string escaped(std::string_view text) {
  std::string all;
  for (const char c : valid_utf8(text)) {
    if (c == '\\' || c == '"') all += '\\';
    if (c == '\n') {
      all += "\\n";
    } else {
      all += c;
    }
  }
  return all;
}

// One family after the other: its head, then its samples.
class Metrics {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void value(const Labels& labels, uint64_t value) { write(labels, std::to_string(value)); }
  void seconds(const Labels& labels, int64_t ns) {
    char number[40];
    ns = std::max<int64_t>(ns, 0);
    snprintf(number, sizeof(number), "%ld.%09ld", static_cast<long>(ns / 1'000'000'000),
             static_cast<long>(ns % 1'000'000'000));
    write(labels, number);
  }
  std::string take() { return std::move(text_); }

 private:
  void write(const Labels& labels, std::string_view number) {
    text_ += name_;
    for (size_t i = 0; i < labels.size(); ++i) {
      text_ += i == 0 ? "{" : ",";
      text_.append(labels[i].first).append("=\"").append(escaped(labels[i].second)).append("\"");
    }
    if (!labels.empty()) text_ += '}';
    text_.append(" ").append(number).append("\n");
  }

  std::string text_;
  std::string name_;
};

bool has_samples(ProfileKind kind) {
  return kind != ProfileKind::stacks && kind != ProfileKind::allocs && kind != ProfileKind::trace;
}
bool has_time(ProfileKind kind) {
  return has_samples(kind) && kind != ProfileKind::heap && kind != ProfileKind::threadcreate;
}

void write_kinds(const Status& status, Metrics* metrics) {
  metrics->family("libprof_recording", "gauge", "Whether a kind of profile is being recorded.");
  for (const KindStatus& kind : status.kinds) {
    const bool is_on = kind.setting.recording == Recording::on || kind.setting.recording == Recording::always;
    metrics->value({{"kind", name_of(kind.setting.kind)}}, is_on ? 1 : 0);
  }
  metrics->family("libprof_samples_total", "counter",
                  "Looks (cpu, wall), sampled allocations (heap), waits or threads made (the others).");
  for (const KindStatus& kind : status.kinds) {
    if (has_samples(kind.setting.kind)) metrics->value({{"kind", name_of(kind.setting.kind)}}, kind.samples);
  }
  metrics->family("libprof_sampled_seconds_total", "counter",
                  "Time that the samples stand for: of the CPU, on the wall clock, or waited.");
  for (const KindStatus& kind : status.kinds) {
    if (!has_time(kind.setting.kind)) continue;
    metrics->seconds({{"kind", name_of(kind.setting.kind)}}, static_cast<int64_t>(kind.ns));
  }
  metrics->family("libprof_sampled_frees_total", "counter", "Sampled allocations that were freed.");
  for (const KindStatus& kind : status.kinds) {
    if (kind.setting.kind == ProfileKind::heap) metrics->value({}, kind.freed);
  }
  metrics->family("libprof_records", "gauge", "Stacks (with what else tells samples apart) that a kind has.");
  for (const KindStatus& kind : status.kinds) {
    if (kind.setting.kind == ProfileKind::trace) continue;
    metrics->value({{"kind", name_of(kind.setting.kind)}}, kind.records);
  }
}

void write_losses(const Status& status, Metrics* metrics) {
  metrics->family("libprof_losses_total", "counter", "What was not recorded, by cause; the status says it in words.");
  for (unsigned i = 0; i < kLossCauses; ++i) {
    const auto cause = static_cast<LossCause>(i);
    if (!is_truncation(cause)) metrics->value({{"cause", loss_name(cause)}}, status.losses[i]);
  }
  metrics->family("libprof_lost_cpu_samples_total", "counter", "CPU samples without a stack, by cause.");
  for (const LossCause cause : {LossCause::region_full, LossCause::no_scratch}) {
    metrics->value({{"cause", loss_name(cause)}}, status.lost_ticks[static_cast<unsigned>(cause)]);
  }
  metrics->family("libprof_truncated_stacks_total", "counter", "Recorded stacks that end before the thread's start.");
  for (unsigned i = 0; i < kLossCauses; ++i) {
    const auto cause = static_cast<LossCause>(i);
    if (is_truncation(cause)) metrics->value({{"cause", loss_name(cause)}}, status.losses[i]);
  }
}

void write_process(const Status& status, Metrics* metrics) {
  metrics->family("libprof_threads", "gauge", "Threads of the program that are known.");
  metrics->value({}, status.threads);
  metrics->family("libprof_threads_blocking_sigprof", "gauge",
                  "Threads that are not sampled, since they block SIGPROF.");
  metrics->value({}, status.process.sigprof_blocked_by.size());
  metrics->family("libprof_sigprof_taken", "gauge",
                  "1: the program handles SIGPROF itself, and nothing is sampled by it.");
  metrics->value({}, status.losses_of(LossCause::sigprof_taken) != 0 ? 1 : 0);
  metrics->family("libprof_foreign_malloc", "gauge", "1: the program's malloc is another than the one that is seen.");
  if (status.foreign_malloc.empty()) {
    metrics->value({}, 0);
  } else {
    metrics->value({{"file", status.foreign_malloc}}, 1);
  }
  metrics->family("libprof_waits", "gauge", "Waits for locks and the like that go on.");
  metrics->value({}, status.waits_now);
  metrics->family("libprof_longest_wait_seconds", "gauge", "How long the longest of them has gone on.");
  metrics->seconds({}, status.longest_wait_now_ns);
  metrics->family("libprof_program_cpu_seconds_total", "counter", "CPU time of the program.");
  metrics->seconds({}, status.process.cpu_ns);
  metrics->family("libprof_program_start_time_seconds", "gauge", "When the program started, Unix time.");
  metrics->seconds({}, status.process.started_unix_ns);
}

void write_own(const Status& status, Metrics* metrics) {
  metrics->family("libprof_region_bytes", "gauge", "Memory that recording has in the program.");
  metrics->value({}, status.region_bytes);
  metrics->family("libprof_region_used_bytes", "gauge", "Of these, bytes that hold something.");
  metrics->value({}, status.region_used);
  metrics->family("libprof_region_refusals_total", "counter", "Times that recording could not have more memory.");
  metrics->value({}, status.region_refusals);
  metrics->family("libprof_server_resident_bytes", "gauge", "Memory of the server.");
  metrics->value({}, status.process.own_memory_bytes);
  metrics->family("libprof_server_cpu_seconds_total", "counter", "CPU time of the server.");
  metrics->seconds({}, status.process.own_cpu_ns);
}

}  // namespace

std::string metrics_page(const Status& status) {
  Metrics metrics;
  write_kinds(status, &metrics);
  write_losses(status, &metrics);
  write_process(status, &metrics);
  write_own(status, &metrics);
  return metrics.take();
}

}  // namespace prof
