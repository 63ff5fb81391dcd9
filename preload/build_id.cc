#include "preload/build_id.h"

#include <elf.h>

#include <cstring>

namespace prof {

void read_build_id(uint64_t base, const ElfW(Phdr) * headers, unsigned count, ModuleSegment* segment) {
  for (unsigned i = 0; i < count; ++i) {
    if (headers[i].p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const char*>(base + headers[i].p_vaddr);
    const char* end = at + headers[i].p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      memcpy(&note, at, sizeof(note));
      const char* name = at + sizeof(note);
      const char* description = name + ((note.n_namesz + 3) & ~3u);
      const char* next = description + ((note.n_descsz + 3) & ~3u);
      if (next > end || next <= at) break;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
          note.n_descsz <= kMaxBuildIdBytes) {
        segment->build_id_bytes = note.n_descsz;
        memcpy(segment->build_id, description, note.n_descsz);
        return;
      }
      at = next;
    }
  }
}

}  // namespace prof
