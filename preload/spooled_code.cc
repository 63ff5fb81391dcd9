#include "preload/spooled_code.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>

#include <charconv>
#include <cstring>

#include "core/base/address.h"
#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "core/record/owner_record.h"
#include "core/unwind/code_lookup.h"
#include "preload/build_id.h"

namespace prof {
namespace {

constexpr uint64_t kPage = 4096;

char g_executable[1024];  // the program's path

struct Object {
  uint64_t base;
  const char* name;
  const ElfW(Phdr) * headers;
  unsigned header_count;
};

// The file's name as the kernel has it: the loader's may be relative, or lead through links. False: it does not say.
bool name_of_mapping(uint64_t start, uint64_t end, char* name, unsigned room, uint32_t* bytes) {
  char path[80] = "/proc/self/map_files/";
  char* at = path + strlen(path);
  at = std::to_chars(at, at + 17, start, 16).ptr;
  *at++ = '-';
  *std::to_chars(at, at + 17, end, 16).ptr = '\0';
  const long length = raw_syscall(SYS_readlink, path, name, room);
  if (length <= 0 || length >= static_cast<long>(room)) return false;
  constexpr char kDeleted[] = " (deleted)";
  constexpr long kDeletedBytes = sizeof(kDeleted) - 1;
  const bool is_deleted = length > kDeletedBytes && memcmp(name + length - kDeletedBytes, kDeleted, kDeletedBytes) == 0;
  *bytes = static_cast<uint32_t>(is_deleted ? length - kDeletedBytes : length);
  return true;
}

void note_segment(OwnerRecord* owner, const ModuleSegment& segment) {
  UnloadedModuleEntry* known = loaded_at(*owner, segment.start);
  if (known != nullptr && is_of_segment(*known, segment)) {
    known->last_generation.store(module_generation(), std::memory_order_relaxed);
  } else {
    note_loaded(owner, segment);
  }
}

// An object's executable segments, as the kernel lists them: whole pages.
void note_object(OwnerRecord* owner, const Object& object) {
  constexpr unsigned kRoom = 1024;  // of a handler's stack; a longer name is the loader's own
  char name[kRoom];
  for (unsigned i = 0; i < object.header_count; ++i) {
    const ElfW(Phdr)& header = object.headers[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
    ModuleSegment segment = {};
    segment.start = (object.base + header.p_vaddr) & ~(kPage - 1);
    segment.end = (object.base + header.p_vaddr + header.p_memsz + kPage - 1) & ~(kPage - 1);
    segment.file_offset = header.p_offset & ~(kPage - 1);
    read_build_id(object.base, object.headers, object.header_count, &segment);
    if (object.base == getauxval(AT_SYSINFO_EHDR)) {
      segment.path = "[vdso]";
      segment.path_bytes = 6;
    } else if (name_of_mapping(segment.start, segment.end, name, kRoom, &segment.path_bytes)) {
      segment.path = name;
    } else {
      segment.path = object.name;
      segment.path_bytes = static_cast<uint32_t>(strlen(object.name));
    }
    note_segment(owner, segment);
  }
}

int note_each(dl_phdr_info* info, size_t, void* owner) {
  const char* name = info->dlpi_name[0] == '\0' ? g_executable : info->dlpi_name;
  note_object(static_cast<OwnerRecord*>(owner), {info->dlpi_addr, name, info->dlpi_phdr, info->dlpi_phnum});
  return 0;
}

// Its headers lie at the beginning of its first segment. Of libraries; the program itself is noted from the start.
bool object_at(uint64_t address, Object* object) {
  struct dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0 || found.dlfo_link_map == nullptr) return false;
  const auto* header = static_cast<const ElfW(Ehdr)*>(found.dlfo_map_start);
  CodeObject readable;
  if (!find_code_object(address, &readable) || readable.start != reinterpret_cast<uint64_t>(header)) return false;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phentsize != sizeof(ElfW(Phdr)) ||
      header->e_phoff + uint64_t{header->e_phnum} * sizeof(ElfW(Phdr)) > kPage) {
    return false;
  }
  object->base = found.dlfo_link_map->l_addr;
  const char* name = found.dlfo_link_map->l_name;
  object->name = name[0] == '\0' ? g_executable : name;
  object->headers = reinterpret_cast<const ElfW(Phdr)*>(reinterpret_cast<const char*>(header) + header->e_phoff);
  object->header_count = header->e_phnum;
  return true;
}

// Those of the parent are this process's too, at the same places: the loader is not asked, whose lock another thread may have had at the
// fork.
void copy_from(const RegionHeader& parent, OwnerRecord* owner) {
  const auto at = [&parent](Ref ref) {
    const uint64_t offset = uint64_t{ref} << kRefShift;
    return reinterpret_cast<const char*>(parent.segment_address[offset >> kSegmentShift].load()) +
           (offset & (kSegmentBytes - 1));
  };
  const Ref owners = parent.roots[static_cast<unsigned>(Root::owner)];
  if (owners == 0 || !region_maps_forgotten(owners)) return;
  const Ref modules = parent.roots[static_cast<unsigned>(Root::modules)];
  const uint32_t generation = reinterpret_cast<const ModuleTable*>(at(modules))->generation.load();
  constexpr unsigned kMost = 4096;
  unsigned count = 0;
  for (Ref ref = reinterpret_cast<const OwnerRecord*>(at(owners))->loaded.load(std::memory_order_acquire);
       ref != 0 && region_maps_forgotten(ref) && count < kMost; ++count) {
    const auto* entry = reinterpret_cast<const UnloadedModuleEntry*>(at(ref));
    // The last noted come first, and are right where they differ. What may have been unloaded since is noted when it is met.
    if (entry->last_generation.load() == generation && loaded_at(*owner, entry->start) == nullptr) {
      ModuleSegment segment = {entry->start, entry->end, entry->file_offset, entry->path, entry->path_bytes, {}, 0};
      segment.build_id_bytes = entry->build_id_bytes;
      memcpy(segment.build_id, entry->build_id, sizeof(segment.build_id));
      note_loaded(owner, segment);
    }
    ref = entry->next;
  }
}

}  // namespace

void spooled_code_start(OwnerRecord* owner, const RegionHeader* parent) {
  if (parent != nullptr) return copy_from(*parent, owner);
  const long bytes = raw_syscall(SYS_readlink, "/proc/self/exe", g_executable, sizeof(g_executable) - 1);
  g_executable[bytes < 0 ? 0 : bytes] = '\0';
  dl_iterate_phdr(note_each, owner);
}

void spooled_code_seen(const uint64_t* frames, uint32_t count, bool is_new) {
  OwnerRecord* owner = owner_record();
  if (owner == nullptr) return;
  owner->last_ns.store(clock_ns(CLOCK_MONOTONIC_COARSE), std::memory_order_relaxed);
  if (!is_new) return;
  const uint32_t generation = module_generation();
  for (uint32_t i = 0; i < count; ++i) {
    if (frames[i] < kFirstCodeAddress) continue;
    const UnloadedModuleEntry* known = loaded_at(*owner, frames[i]);
    if (known != nullptr && known->last_generation.load(std::memory_order_relaxed) == generation) continue;
    // What is being unloaded cannot be looked at; the next stack through it does.
    const CodeReader reader;
    Object object;
    if (reader.may_read_directly() && object_at(frames[i], &object)) note_object(owner, object);
  }
}

}  // namespace prof
