#include "preload/extended_allocators.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "preload/heap_sampling.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

// The real functions, by the index of their names below; null: not in this process.
enum Name : unsigned {
  kMallocx,
  kRallocx,
  kXallocx,
  kDallocx,
  kSdallocx,
  kMiMalloc,
  kMiMallocSmall,
  kMiZalloc,
  kMiZallocSmall,
  kMiCalloc,
  kMiMallocn,
  kMiRealloc,
  kMiReallocn,
  kMiMallocAligned,
  kMiZallocAligned,
  kMiReallocAligned,
  kMiNew,
  kMiNewNothrow,
  kMiNewAligned,
  kMiFree,
  kMiFreeSize,
  kMiFreeAligned,
  kMiFreeSizeAligned,
  kNames
};
void* g_real[kNames];

template <typename Result, typename... Arguments>
Result real(Name name, Arguments... arguments) {
  return reinterpret_cast<Result (*)(Arguments...)>(g_real[name])(arguments...);
}

template <typename... Arguments>
void* allocate(Name name, size_t size, Arguments... arguments) {
  const bool may_be_sampled = count_bytes(size);
  void* block = real<void*>(name, arguments...);
  return may_be_sampled ? heap_allocated(block, size) : block;
}

template <typename... Arguments>
void* reallocate(Name name, void* block, size_t size, Arguments... arguments) {
  const bool may_be_sampled = count_bytes(size);
  const TakenBlock taken = block != nullptr && may_be_live(block) ? heap_taken(block) : TakenBlock{};
  void* result = real<void*>(name, block, arguments...);
  heap_settled(block, taken, result != nullptr);
  return may_be_sampled ? heap_allocated(result, size) : result;
}

template <typename... Arguments>
void release(Name name, void* block, Arguments... arguments) {
  if (block != nullptr && may_be_live(block)) heap_freed(block);
  real<void>(name, block, arguments...);
}

void* mallocx(size_t size, int flags) { return allocate(kMallocx, size, size, flags); }
void* rallocx(void* block, size_t size, int flags) { return reallocate(kRallocx, block, size, size, flags); }
// In place or not at all; what comes back is the block's size then.
size_t xallocx(void* block, size_t size, size_t extra, int flags) {
  const TakenBlock taken = may_be_live(block) ? heap_taken(block) : TakenBlock{};
  const size_t now = real<size_t>(kXallocx, block, size, extra, flags);
  const bool done = now >= size;
  heap_settled(block, taken, done);
  if (done && count_bytes(size)) heap_allocated(block, size);
  return now;
}
void dallocx(void* block, int flags) { release(kDallocx, block, flags); }
void sdallocx(void* block, size_t size, int flags) { release(kSdallocx, block, size, flags); }

void* mi_malloc(size_t size) { return allocate(kMiMalloc, size, size); }
void* mi_malloc_small(size_t size) { return allocate(kMiMallocSmall, size, size); }
void* mi_zalloc(size_t size) { return allocate(kMiZalloc, size, size); }
void* mi_zalloc_small(size_t size) { return allocate(kMiZallocSmall, size, size); }
void* mi_calloc(size_t count, size_t size) { return allocate(kMiCalloc, count * size, count, size); }
void* mi_mallocn(size_t count, size_t size) { return allocate(kMiMallocn, count * size, count, size); }
void* mi_realloc(void* block, size_t size) { return reallocate(kMiRealloc, block, size, size); }
void* mi_reallocn(void* block, size_t count, size_t size) {
  return reallocate(kMiReallocn, block, count * size, count, size);
}
void* mi_malloc_aligned(size_t size, size_t alignment) { return allocate(kMiMallocAligned, size, size, alignment); }
void* mi_zalloc_aligned(size_t size, size_t alignment) { return allocate(kMiZallocAligned, size, size, alignment); }
void* mi_realloc_aligned(void* block, size_t size, size_t alignment) {
  return reallocate(kMiReallocAligned, block, size, size, alignment);
}
void* mi_new(size_t size) { return allocate(kMiNew, size, size); }
void* mi_new_nothrow(size_t size) { return allocate(kMiNewNothrow, size, size); }
void* mi_new_aligned(size_t size, size_t alignment) { return allocate(kMiNewAligned, size, size, alignment); }
void mi_free(void* block) { release(kMiFree, block); }
void mi_free_size(void* block, size_t size) { release(kMiFreeSize, block, size); }
void mi_free_aligned(void* block, size_t alignment) { release(kMiFreeAligned, block, alignment); }
void mi_free_size_aligned(void* block, size_t size, size_t alignment) {
  release(kMiFreeSizeAligned, block, size, alignment);
}

#define PROF_CALL(name) \
  { #name, reinterpret_cast < void*>(&name) }
constexpr unsigned kMost = kNames;
const struct {
  const char* name;
  void* ours;
} kCalls[kMost] = {PROF_CALL(mallocx),
                   PROF_CALL(rallocx),
                   PROF_CALL(xallocx),
                   PROF_CALL(dallocx),
                   PROF_CALL(sdallocx),
                   PROF_CALL(mi_malloc),
                   PROF_CALL(mi_malloc_small),
                   PROF_CALL(mi_zalloc),
                   PROF_CALL(mi_zalloc_small),
                   PROF_CALL(mi_calloc),
                   PROF_CALL(mi_mallocn),
                   PROF_CALL(mi_realloc),
                   PROF_CALL(mi_reallocn),
                   PROF_CALL(mi_malloc_aligned),
                   PROF_CALL(mi_zalloc_aligned),
                   PROF_CALL(mi_realloc_aligned),
                   PROF_CALL(mi_new),
                   PROF_CALL(mi_new_nothrow),
                   PROF_CALL(mi_new_aligned),
                   PROF_CALL(mi_free),
                   PROF_CALL(mi_free_size),
                   PROF_CALL(mi_free_aligned),
                   PROF_CALL(mi_free_size_aligned)};
#undef PROF_CALL

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
  for (size_t i = 0; relocation != nullptr && i < bytes / sizeof(*relocation); ++i, ++relocation) {
    const auto type = ELF64_R_TYPE(relocation->r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
    const char* name = all.names + all.symbols[ELF64_R_SYM(relocation->r_info)].st_name;
    for (unsigned call = 0; call < kMost; ++call) {
      if (g_real[call] == nullptr || strcmp(name, kCalls[call].name) != 0) continue;
      point_to(object.base + relocation->r_offset, kCalls[call].ours, object);
    }
  }
}

int visit_object(struct dl_phdr_info* info, size_t, void* allocator) {
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
  // The allocator's own calls are counted where they came in.
  const bool is_itself =
      first == reinterpret_cast<uint64_t>(allocator) || first == reinterpret_cast<uint64_t>(__ehdr_start);
  if (dynamic == nullptr || is_itself || info->dlpi_name == nullptr || strstr(info->dlpi_name, "vdso") != nullptr)
    return 0;
  const Relocations all = relocations_of(dynamic, object.base);
  if (all.symbols == nullptr || all.names == nullptr) return 0;
  point_slots(all.of_calls, all.calls_bytes, all, object);
  point_slots(all.others, all.others_bytes, all, object);
  return 0;
}

}  // namespace

void extended_allocators_start() {
  void* some = nullptr;
  for (unsigned call = 0; call < kMost; ++call) {
    g_real[call] = dlsym(RTLD_DEFAULT, kCalls[call].name);
    if (g_real[call] != nullptr) some = g_real[call];
  }
  Dl_info info = {};
  if (some == nullptr || dladdr(some, &info) == 0) return;
  dl_iterate_phdr(visit_object, info.dli_fbase);
}

}  // namespace prof
