#include "preload/call_slots.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

// Of the call that is at work.
const CallSlot* g_calls = nullptr;
unsigned g_count = 0;
const void* g_left_out = nullptr;

const void* start_of_object(const void* address) {
  Dl_info info = {};
  return address == nullptr || dladdr(address, &info) == 0 ? nullptr : info.dli_fbase;
}

// What of an object's dynamic section says where its slots are.
struct Relocations {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Rela) * of_calls = nullptr;
  size_t calls_bytes = 0;
  const ElfW(Rela) * others = nullptr;
  size_t others_bytes = 0;
};

Relocations relocations_of(const ElfW(Dyn) * dynamic, uint64_t base) {
  Relocations found;
  // glibc adds the base to these in place, but for objects whose dynamic section is read-only (the vdso).
  const auto address = [base](uint64_t value) { return value < base ? base + value : value; };
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const uint64_t value = dynamic->d_un.d_val;
    switch (dynamic->d_tag) {
      case DT_SYMTAB:
        found.symbols = reinterpret_cast<const ElfW(Sym)*>(address(value));
        break;
      case DT_STRTAB:
        found.names = reinterpret_cast<const char*>(address(value));
        break;
      case DT_JMPREL:
        found.of_calls = reinterpret_cast<const ElfW(Rela)*>(address(value));
        break;
      case DT_PLTRELSZ:
        found.calls_bytes = value;
        break;
      case DT_RELA:
        found.others = reinterpret_cast<const ElfW(Rela)*>(address(value));
        break;
      case DT_RELASZ:
        found.others_bytes = value;
        break;
      default:
        break;
    }
  }
  return found;
}

struct Object {
  uint64_t base;
  uint64_t relro_start = 0, relro_end = 0;  // whole pages that the loader has made read-only
};

void point_to(uint64_t slot, void* ours, const Object& object) {
  const uint64_t page = slot & ~uint64_t{4095};
  const bool is_sealed = slot >= object.relro_start && slot < object.relro_end;
  if (is_sealed && mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE) != 0) return;
  reinterpret_cast<std::atomic<void*>*>(slot)->store(ours, std::memory_order_release);
  if (is_sealed) mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ);
}

void point_slots(const ElfW(Rela) * relocation, size_t bytes, const Relocations& all, const Object& object) {
  for (size_t r = 0; relocation != nullptr && r < bytes / sizeof(*relocation); ++r, ++relocation) {
    const auto type = ELF64_R_TYPE(relocation->r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
    const char* name = all.names + all.symbols[ELF64_R_SYM(relocation->r_info)].st_name;
    for (unsigned i = 0; i < g_count; ++i) {
      if (*g_calls[i].real == nullptr || strcmp(name, g_calls[i].name) != 0) continue;
      point_to(object.base + relocation->r_offset, g_calls[i].ours, object);
    }
  }
}

int visit_object(struct dl_phdr_info* info, size_t, void*) {
  Object object{info->dlpi_addr};
  const ElfW(Dyn)* dynamic = nullptr;
  uint64_t first = ~uint64_t{0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(object.base + header.p_vaddr);
    if (header.p_type == PT_LOAD) first = std::min(first, object.base + header.p_vaddr);
    if (header.p_type == PT_GNU_RELRO) {
      object.relro_start = (object.base + header.p_vaddr) & ~uint64_t{4095};
      object.relro_end = (object.base + header.p_vaddr + header.p_memsz) & ~uint64_t{4095};
    }
  }
  const bool is_left_out =
      first == reinterpret_cast<uint64_t>(g_left_out) || first == reinterpret_cast<uint64_t>(__ehdr_start);
  if (dynamic == nullptr || is_left_out || info->dlpi_name == nullptr || strstr(info->dlpi_name, "vdso") != nullptr)
    return 0;
  const Relocations all = relocations_of(dynamic, object.base);
  if (all.symbols == nullptr || all.names == nullptr) return 0;
  point_slots(all.of_calls, all.calls_bytes, all, object);
  point_slots(all.others, all.others_bytes, all, object);
  return 0;
}

}  // namespace

void point_call_slots(const CallSlot* calls, unsigned count, const void* left_out) {
  const void* definer = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    *calls[i].real = dlsym(RTLD_DEFAULT, calls[i].name);
    if (*calls[i].real != nullptr) definer = *calls[i].real;
  }
  if (definer == nullptr) return;
  g_calls = calls;
  g_count = count;
  g_left_out = start_of_object(left_out != nullptr ? left_out : definer);
  dl_iterate_phdr(visit_object, nullptr);
}

}  // namespace prof
