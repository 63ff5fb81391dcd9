#include "core/report/snapshot_delta.h"

#include <algorithm>

namespace prof {

SnapshotBase::SnapshotBase(const Snapshot& snapshot) {
  for (const CpuSample& sample : snapshot.cpu.samples) ticks_.emplace(sample.bucket, sample.ticks);
  for (const EventSample& sample : snapshot.events) events_.emplace(sample.bucket, Events{sample.events, sample.total});
  for (const Loss& loss : snapshot.losses) losses_.emplace(static_cast<unsigned>(loss.cause), loss);
}

void SnapshotBase::take_from(Snapshot* snapshot) const {
  for (CpuSample& sample : snapshot->cpu.samples) {
    const auto before = ticks_.find(sample.bucket);
    if (before != ticks_.end()) sample.ticks -= std::min(before->second, sample.ticks);
  }
  std::erase_if(snapshot->cpu.samples, [](const CpuSample& sample) { return sample.ticks == 0; });
  for (EventSample& sample : snapshot->events) {
    const auto before = events_.find(sample.bucket);
    if (before == events_.end()) continue;
    sample.events -= std::min(before->second.events, sample.events);
    sample.total -= std::min(before->second.total, sample.total);
  }
  std::erase_if(snapshot->events, [](const EventSample& sample) { return sample.events <= 0; });
  for (Loss& loss : snapshot->losses) {
    const auto before = losses_.find(static_cast<unsigned>(loss.cause));
    if (before == losses_.end()) continue;
    loss.count -= std::min(before->second.count, loss.count);
    loss.cpu_ticks -= std::min(before->second.cpu_ticks, loss.cpu_ticks);
  }
  std::erase_if(snapshot->losses, [](const Loss& loss) { return loss.count == 0; });
}

}  // namespace prof
