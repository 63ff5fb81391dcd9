#include "core/record/unloaded_modules.h"

#include <algorithm>
#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {

void note_unloaded(const ModuleSegment& segment) {
  const Ref ref = region_allocate(sizeof(UnloadedModuleEntry) + segment.path_bytes);
  if (ref == 0) return count_loss(LossCause::region_full);
  auto* entry = region_at<UnloadedModuleEntry>(ref);
  entry->last_generation = module_generation();
  entry->start = segment.start;
  entry->end = segment.end;
  entry->file_offset = segment.file_offset;
  entry->build_id_bytes = std::min(segment.build_id_bytes, kMaxBuildIdBytes);
  memcpy(entry->build_id, segment.build_id, entry->build_id_bytes);
  entry->path_bytes = segment.path_bytes;
  memcpy(entry->path, segment.path, segment.path_bytes);
  auto& head = region_root<ModuleTable>(Root::modules)->unloaded;
  Ref first = head.load(std::memory_order_relaxed);
  do {
    entry->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release));
}

void next_module_generation() {
  region_root<ModuleTable>(Root::modules)->generation.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace prof
