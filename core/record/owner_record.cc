#include "core/record/owner_record.h"

#include <algorithm>
#include <cstring>

#include "core/record/loss_counters.h"

namespace prof {

Ref put_owner_text(const char* text, uint32_t bytes) {
  const Ref ref = region_allocate(sizeof(OwnerText) + bytes);
  if (ref == 0) return 0;
  auto* entry = region_at<OwnerText>(ref);
  memcpy(entry->text, text, bytes);
  entry->bytes = bytes;
  return ref;
}

void note_loaded(OwnerRecord* owner, const ModuleSegment& segment) {
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
  Ref first = owner->loaded.load(std::memory_order_relaxed);
  do {
    entry->next = first;
  } while (!owner->loaded.compare_exchange_weak(first, ref, std::memory_order_release));
}

UnloadedModuleEntry* loaded_at(const OwnerRecord& owner, uint64_t address) {
  for (Ref ref = owner.loaded.load(std::memory_order_acquire); ref != 0;) {
    auto* entry = region_at<UnloadedModuleEntry>(ref);
    if (address >= entry->start && address < entry->end) return entry;
    ref = entry->next;
  }
  return nullptr;
}

}  // namespace prof
