#include "core/record/owner_record.h"

#include <cstring>

namespace prof {

Ref put_owner_text(const char* text, uint32_t bytes) {
  const Ref ref = region_allocate(sizeof(OwnerText) + bytes);
  if (ref == 0) return 0;
  auto* entry = region_at<OwnerText>(ref);
  memcpy(entry->text, text, bytes);
  entry->bytes = bytes;
  return ref;
}

void note_loaded(OwnerRecord* owner, const ModuleSegment& segment) { add_module_entry(&owner->loaded, segment); }

UnloadedModuleEntry* loaded_at(const OwnerRecord& owner, uint64_t address) {
  for (Ref ref = owner.loaded.load(std::memory_order_acquire); ref != 0;) {
    auto* entry = region_at<UnloadedModuleEntry>(ref);
    if (address >= entry->start && address < entry->end) return entry;
    ref = entry->next;
  }
  return nullptr;
}

}  // namespace prof
