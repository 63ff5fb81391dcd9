#include "core/record/unloaded_modules.h"

#include <algorithm>
#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {

namespace {

// The entry of the last library that was unloaded from any of these addresses, if it was the very same one: it was loaded
// there again, and what was recorded since then is its own too.
UnloadedModuleEntry* last_at_same_place(const ModuleSegment& segment) {
  for (Ref ref = region_root<ModuleTable>(Root::modules)->unloaded.load(std::memory_order_acquire); ref != 0;) {
    auto* entry = region_at<UnloadedModuleEntry>(ref);
    if (segment.start < entry->end && entry->start < segment.end)
      return is_of_segment(*entry, segment) ? entry : nullptr;
    ref = entry->next;
  }
  return nullptr;
}

}  // namespace

bool is_of_segment(const UnloadedModuleEntry& entry, const ModuleSegment& segment) {
  return entry.start == segment.start && entry.end == segment.end && entry.file_offset == segment.file_offset &&
         entry.path_bytes == segment.path_bytes && memcmp(entry.path, segment.path, segment.path_bytes) == 0 &&
         entry.build_id_bytes == segment.build_id_bytes &&
         memcmp(entry.build_id, segment.build_id, segment.build_id_bytes) == 0;
}

void add_module_entry(std::atomic<Ref>* list, const ModuleSegment& segment) {
  const Ref ref = region_allocate(sizeof(UnloadedModuleEntry) + segment.path_bytes);
  if (ref == 0) return count_loss(LossCause::region_full);
  auto* entry = region_at<UnloadedModuleEntry>(ref);
  entry->last_generation.store(module_generation(), std::memory_order_relaxed);
  entry->start = segment.start;
  entry->end = segment.end;
  entry->file_offset = segment.file_offset;
  entry->build_id_bytes = std::min(segment.build_id_bytes, kMaxBuildIdBytes);
  memcpy(entry->build_id, segment.build_id, entry->build_id_bytes);
  entry->path_bytes = segment.path_bytes;
  memcpy(entry->path, segment.path, segment.path_bytes);
  Ref first = list->load(std::memory_order_relaxed);
  do {
    entry->next = first;
  } while (!list->compare_exchange_weak(first, ref, std::memory_order_release));
}

void note_unloaded(const ModuleSegment& segment) {
  if (UnloadedModuleEntry* known = last_at_same_place(segment); known != nullptr) {
    known->last_generation.store(module_generation(), std::memory_order_release);
    return;
  }
  add_module_entry(&region_root<ModuleTable>(Root::modules)->unloaded, segment);
}

void next_module_generation() {
  region_root<ModuleTable>(Root::modules)->generation.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace prof
