#include "core/serve/status.h"

#include <cmath>

#include "core/report/loss_text.h"
#include "core/report/profile_builder.h"

namespace prof {
namespace {

// Each record is rounded for itself: a sum of fractions could be less than it was, in another order.
uint64_t rounded(double events) { return static_cast<uint64_t>(std::llround(events)); }

void count(const Snapshot& snapshot, KindStatus* status) {
  switch (status->setting.kind) {
    case ProfileKind::cpu:
      for (const CpuSample& sample : snapshot.cpu.samples) status->samples += sample.ticks;
      status->records = snapshot.cpu.samples.size();
      status->ns = status->samples * snapshot.cpu.period_ns;
      return;
    case ProfileKind::heap:
    case ProfileKind::allocs:
      for (const HeapSample& sample : snapshot.heap.samples) {
        status->samples += sample.allocated;
        status->freed += sample.freed;
      }
      status->records = snapshot.heap.samples.size();
      return;
    case ProfileKind::trace:
      return;
    case ProfileKind::stacks:
    case ProfileKind::count:
      status->records = snapshot.threads.empty() ? snapshot.tids.size() : snapshot.threads.size();
      return;
    default:
      for (const EventSample& event : snapshot.events) {
        if (event.kind != event_of(status->setting.kind)) continue;
        ++status->records;
        status->samples += rounded(event.events);
        if (event.kind != EventKind::thread_created) status->ns += event.total;
      }
  }
}

}  // namespace

Status status_from_snapshot(const Snapshot& snapshot, const StatusSettings& settings, const ProcessFacts& process,
                            const ModuleMap& modules) {
  Status status;
  status.program = snapshot.executable;
  status.pid = snapshot.pid;
  status.process = process;
  status.settings = settings;
  for (const KindSetting& setting : settings.kinds) {
    KindStatus kind;
    kind.setting = setting;
    count(snapshot, &kind);
    status.kinds.push_back(kind);
  }
  for (const Loss& loss : snapshot.losses) {
    status.losses[static_cast<unsigned>(loss.cause)] = loss.count;
    status.lost_ticks[static_cast<unsigned>(loss.cause)] = loss.cpu_ticks;
  }
  status.threads = static_cast<unsigned>(snapshot.tids.size());
  status.waits_now = snapshot.waits_now;
  status.longest_wait_now_ns = snapshot.longest_wait_now_ns;
  status.foreign_malloc = snapshot.heap.foreign_malloc;
  status.unreached = unreached_code(modules);
  status.region_bytes = snapshot.region_bytes;
  status.region_used = snapshot.region_used;
  status.region_refusals = snapshot.region_refusals;
  return status;
}

}  // namespace prof
