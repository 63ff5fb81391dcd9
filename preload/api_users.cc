#include "preload/api_users.h"

#include <link.h>

#include <cstdint>
#include <cstring>
#include <string_view>

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

constexpr char kNoteName[] = "libprof";  // as in prof.h

bool has_note(const char* note, const char* end) {
  while (note + sizeof(ElfW(Nhdr)) <= end) {
    const auto* header = reinterpret_cast<const ElfW(Nhdr)*>(note);
    const char* name = note + sizeof(*header);
    if (header->n_namesz == sizeof(kNoteName) && name + sizeof(kNoteName) <= end &&
        memcmp(name, kNoteName, sizeof(kNoteName)) == 0) {
      return true;
    }
    // Notes of 8 bytes' alignment have this size rounded up to 4 as well, in practice.
    note = name + ((uint64_t{header->n_namesz} + 3) & ~uint64_t{3}) + ((uint64_t{header->n_descsz} + 3) & ~uint64_t{3});
  }
  return false;
}

bool is_of_api(std::string_view name) {
  return name.starts_with("prof_start_cpu") || name.starts_with("prof_write") || name.starts_with("prof_label_") ||
         name.starts_with("prof_set_rate") || name == "ProfilerStart";
}

// What an object wants from others stands before the symbols that its hash table has.
bool wants_api(const ElfW(Dyn) * dynamic, uint64_t base) {
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  const uint32_t* hash = nullptr;
  // glibc adds the base in place, but for objects whose dynamic section is read-only.
  const auto address = [base](uint64_t value) { return value < base ? base + value : value; };
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const uint64_t at = address(dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(at);
    if (dynamic->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(at);
    if (dynamic->d_tag == DT_GNU_HASH) hash = reinterpret_cast<const uint32_t*>(at);
  }
  if (symbols == nullptr || names == nullptr || hash == nullptr) return false;
  const uint32_t defined_from = hash[1];
  for (uint32_t i = 1; i < defined_from; ++i) {
    const char* name = names + symbols[i].st_name;
    if ((name[0] == 'p' || name[0] == 'P') && is_of_api(name)) return true;
  }
  return false;
}

int visit_object(struct dl_phdr_info* info, size_t, void* found) {
  const uint64_t base = info->dlpi_addr;
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const auto* start = reinterpret_cast<const char*>(base + header.p_vaddr);
    // libprof itself, which may include prof.h.
    if (header.p_type == PT_LOAD && start == __ehdr_start) return 0;
    if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(start);
    if (header.p_type == PT_NOTE && has_note(start, start + header.p_memsz)) *static_cast<bool*>(found) = true;
  }
  const bool is_vdso = info->dlpi_name != nullptr && strstr(info->dlpi_name, "vdso") != nullptr;
  if (dynamic != nullptr && !is_vdso && wants_api(dynamic, base)) *static_cast<bool*>(found) = true;
  return *static_cast<bool*>(found) ? 1 : 0;
}

}  // namespace

bool program_uses_api() {
  bool found = false;
  dl_iterate_phdr(visit_object, &found);
  return found;
}

}  // namespace prof
