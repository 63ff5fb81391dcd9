#include "preload/modules.h"

#include <link.h>
#include <sys/mman.h>

#include <cstring>

#include "core/base/raw_syscall.h"
#include "core/unwind/code_lookup.h"
#include "core/unwind/rule_cache.h"
#include "preload/build_id.h"
#include "preload/recording.h"

namespace prof {
namespace {

constexpr unsigned kMaxModuleSegments = 4096;  // of all libraries; what is beyond keeps no names after an unloading
constexpr unsigned kPathBytes = 512 * 1024;

uint64_t count_unloads() {
  uint64_t unloads = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* unloads_so_far) {
        *static_cast<uint64_t*>(unloads_so_far) = info->dlpi_subs;
        return 1;
      },
      &unloads);
  return unloads;
}

bool is_code(const ElfW(Phdr) & header) { return header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0; }

}  // namespace

// In pages of its own: the host's heap is not used, and the list goes back at once.
struct ModulesAroundUnload::List {
  unsigned count;
  unsigned path_bytes;
  ModuleSegment segments[kMaxModuleSegments];
  char paths[kPathBytes];

  static int add(dl_phdr_info* info, size_t, void* self) {
    auto* list = static_cast<List*>(self);
    const size_t length = strlen(info->dlpi_name);
    if (length == 0 || list->path_bytes + length > kPathBytes) return 0;  // no name: the main program, which stays
    char* path = list->paths + list->path_bytes;
    memcpy(path, info->dlpi_name, length);
    list->path_bytes += static_cast<unsigned>(length);
    for (int i = 0; i < info->dlpi_phnum && list->count < kMaxModuleSegments; ++i) {
      const ElfW(Phdr)& header = info->dlpi_phdr[i];
      if (!is_code(header)) continue;
      ModuleSegment& segment = list->segments[list->count++];
      segment.start = info->dlpi_addr + header.p_vaddr;
      segment.end = segment.start + header.p_memsz;
      segment.file_offset = header.p_offset;
      segment.path = path;
      segment.path_bytes = static_cast<uint32_t>(length);
      read_build_id(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, &segment);
    }
    return 0;
  }

  // Takes from the list what is still loaded.
  static int remove(dl_phdr_info* info, size_t, void* self) {
    auto* list = static_cast<List*>(self);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      if (!is_code(info->dlpi_phdr[i])) continue;
      const uint64_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
      for (unsigned k = 0; k < list->count; ++k) {
        if (list->segments[k].start != start) continue;
        list->segments[k] = list->segments[--list->count];
        break;
      }
    }
    return 0;
  }
};

ModulesAroundUnload::ModulesAroundUnload() {
  if (!is_recording()) return;
  const long memory =
      raw_syscall(SYS_mmap, nullptr, sizeof(List), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return;
  before_ = reinterpret_cast<List*>(memory);
  unloads_before_ = count_unloads();
  dl_iterate_phdr(List::add, before_);
  unloading_begin();
}

ModulesAroundUnload::~ModulesAroundUnload() {
  if (before_ == nullptr) return;
  const bool something_went = count_unloads() != unloads_before_;
  if (something_went) {
    dl_iterate_phdr(List::remove, before_);
    for (unsigned i = 0; i < before_->count; ++i) note_unloaded(before_->segments[i]);
    next_module_generation();
    rule_cache_forget();
  }
  unloading_end();
  raw_syscall(SYS_munmap, before_, sizeof(List));
}

}  // namespace prof
