#include "preload/call_slots.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "core/base/raw_syscall.h"
#include "preload/real_symbols.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

struct Object {
  uint64_t base;
  uint64_t start = ~uint64_t{0}, end = 0;   // of what is mapped
  uint64_t relro_start = 0, relro_end = 0;  // whole pages that the loader has made read-only
};

// A relocation that a loaded object is called through.
struct Slot {
  const char* name;
  uint64_t address;
  bool is_call;          // not an address that the program takes
  bool is_defined_here;  // in the object that has the slot
};

// One that was pointed past ours.
struct Passed {
  uint64_t address;
  const void* ours;
  uint32_t group;
  bool is_sealed;
};
constexpr unsigned kMostPassed = 4096;
Passed g_passed[kMostPassed];
unsigned g_passed_count = 0;

bool is_sealed(uint64_t slot, const Object& object) { return slot >= object.relro_start && slot < object.relro_end; }

// What a slot is to hold; null: what it holds. Calls with the list that is at work.
class Choice {
 public:
  virtual void* of(const Slot& slot, const Object& object) const = 0;
  const void* left_out = nullptr;  // start of an object that is not visited

 protected:
  ~Choice() = default;
};

class ToOurs final : public Choice {
 public:
  ToOurs(const CallSlot* calls, unsigned count) : calls_(calls), count_(count) {}
  void* of(const Slot& slot, const Object&) const override {
    for (unsigned i = 0; i < count_; ++i) {
      if (*calls_[i].real != nullptr && strcmp(slot.name, calls_[i].name) == 0) return calls_[i].ours;
    }
    return nullptr;
  }

 private:
  const CallSlot* const calls_;
  const unsigned count_;
};

class PastOurs final : public Choice {
 public:
  PastOurs(const PassedCall* calls, unsigned count, bool may_return)
      : calls_(calls), count_(count), may_return_(may_return) {}
  void* of(const Slot& slot, const Object& object) const override {
    // One that is defined here is bound here, by -Bsymbolic or the object's place in the order.
    if (!slot.is_call || slot.is_defined_here) return nullptr;
    for (unsigned i = 0; i < count_; ++i) {
      const PassedCall& call = calls_[i];
      if (call.real == nullptr || strcmp(slot.name, call.name) != 0) continue;
      const auto held = *reinterpret_cast<const uint64_t*>(slot.address);
      // Bound lazily: it still points to the stub that will bind it.
      const bool is_unbound = held >= object.start && held < object.end;
      if (!is_unbound && held != reinterpret_cast<uint64_t>(call.ours)) return nullptr;
      return remember(slot, object, call) ? call.real : nullptr;
    }
    return nullptr;
  }

 private:
  // False: there is no room, and it could not be put back.
  bool remember(const Slot& slot, const Object& object, const PassedCall& call) const {
    if (!may_return_) return true;
    if (g_passed_count == kMostPassed) return false;
    g_passed[g_passed_count++] = {slot.address, call.ours, call.group, is_sealed(slot.address, object)};
    return true;
  }

  const PassedCall* const calls_;
  const unsigned count_;
  const bool may_return_;
};

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

void point_to(uint64_t slot, void* to, bool is_sealed) {
  const uint64_t page = slot & ~uint64_t{4095};
  if (is_sealed && raw_syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_WRITE) != 0) return;
  reinterpret_cast<std::atomic<void*>*>(slot)->store(to, std::memory_order_release);
  if (is_sealed) raw_syscall(SYS_mprotect, page, 4096, PROT_READ);
}

void point_slots(const ElfW(Rela) * relocation, size_t bytes, const Relocations& all, const Object& object,
                 const Choice& choice) {
  for (size_t r = 0; relocation != nullptr && r < bytes / sizeof(*relocation); ++r, ++relocation) {
    const auto type = ELF64_R_TYPE(relocation->r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
    const ElfW(Sym)& symbol = all.symbols[ELF64_R_SYM(relocation->r_info)];
    const Slot slot = {all.names + symbol.st_name, object.base + relocation->r_offset, type == R_X86_64_JUMP_SLOT,
                       symbol.st_shndx != SHN_UNDEF};
    void* const to = choice.of(slot, object);
    if (to != nullptr) point_to(slot.address, to, is_sealed(slot.address, object));
  }
}

int visit_object(struct dl_phdr_info* info, size_t, void* argument) {
  const auto& choice = *static_cast<const Choice*>(argument);
  Object object{info->dlpi_addr};
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const uint64_t start = object.base + header.p_vaddr;
    const uint64_t end = start + header.p_memsz;
    if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(start);
    if (header.p_type == PT_LOAD) {
      object.start = std::min(object.start, start);
      object.end = std::max(object.end, end);
    }
    if (header.p_type == PT_GNU_RELRO) {
      object.relro_start = start & ~uint64_t{4095};
      object.relro_end = end & ~uint64_t{4095};
    }
  }
  const bool is_left_out = object.start == reinterpret_cast<uint64_t>(choice.left_out) ||
                           object.start == reinterpret_cast<uint64_t>(__ehdr_start);
  if (dynamic == nullptr || is_left_out || info->dlpi_name == nullptr || strstr(info->dlpi_name, "vdso") != nullptr)
    return 0;
  const Relocations all = relocations_of(dynamic, object.base);
  if (all.symbols == nullptr || all.names == nullptr) return 0;
  point_slots(all.of_calls, all.calls_bytes, all, object, choice);
  point_slots(all.others, all.others_bytes, all, object, choice);
  return 0;
}

}  // namespace

void point_call_slots(const CallSlot* calls, unsigned count, const void* left_out) {
  const void* definer = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    *calls[i].real = real::first_definition(calls[i].name);
    if (*calls[i].real != nullptr) definer = *calls[i].real;
  }
  if (definer == nullptr) return;
  ToOurs choice(calls, count);
  choice.left_out = start_of_object(left_out != nullptr ? left_out : definer);
  dl_iterate_phdr(visit_object, &choice);
}

void point_call_slots_past(const PassedCall* calls, unsigned count, bool may_return) {
  PastOurs choice(calls, count, may_return);
  dl_iterate_phdr(visit_object, &choice);
}

void put_back_call_slots(unsigned group) {
  for (unsigned i = 0; i < g_passed_count; ++i) {
    const Passed& passed = g_passed[i];
    if (passed.group == group) point_to(passed.address, const_cast<void*>(passed.ours), passed.is_sealed);
  }
}

}  // namespace prof
