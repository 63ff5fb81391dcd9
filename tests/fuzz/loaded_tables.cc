#include "tests/fuzz/loaded_tables.h"

#include <link.h>

#include <algorithm>
#include <cstring>

namespace prof::fuzz {
namespace {

// .eh_frame_hdr's usual form: four bytes, the address of .eh_frame, the count, then the table.
constexpr uint64_t kCountAt = 8;
constexpr uint64_t kTableAt = 12;
constexpr uint64_t kLargest = 4 << 20;

int32_t int_at(const LoadedTables& tables, uint64_t offset) {
  int32_t value = 0;
  if (offset + sizeof(value) <= tables.image.size()) memcpy(&value, tables.image.data() + offset, sizeof(value));
  return value;
}

uint64_t field_of(const LoadedTables& tables, uint64_t function, uint64_t field) {
  const uint64_t header = tables.object.eh_frame_hdr - tables.object.start;
  const int64_t offset = int_at(tables, header + kTableAt + function * 8 + field * 4);
  return std::min(header + static_cast<uint64_t>(offset), tables.image.size() - 1);
}

int take(struct dl_phdr_info* info, size_t, void* to) {
  LoadedTables tables;
  uint64_t end = 0;
  uint64_t header = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type == PT_GNU_EH_FRAME) header = part.p_vaddr;
    if (part.p_type == PT_LOAD && (part.p_flags & PF_W) == 0) end = std::max(end, part.p_vaddr + part.p_memsz);
  }
  // The program itself has what the address sanitizer forbids to read.
  if (header == 0 || end > kLargest || info->dlpi_name[0] == 0) return 0;
  tables.image.resize(end);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
    memcpy(&tables.image[part.p_vaddr], reinterpret_cast<const void*>(info->dlpi_addr + part.p_vaddr), part.p_memsz);
  }
  tables.object = {info->dlpi_addr, info->dlpi_addr + end, info->dlpi_addr + header};
  tables.functions = static_cast<uint32_t>(int_at(tables, header + kCountAt));
  const bool is_usual = tables.image[header] == 1 && tables.image[header + 3] == 0x3b;
  if (is_usual && tables.functions != 0) static_cast<std::vector<LoadedTables>*>(to)->push_back(std::move(tables));
  return 0;
}

}  // namespace

uint64_t LoadedTables::code_of(uint64_t function) const { return field_of(*this, function, 0); }
uint64_t LoadedTables::entry_of(uint64_t function) const { return field_of(*this, function, 1); }

const std::vector<LoadedTables>& loaded_tables() {
  static const std::vector<LoadedTables> tables = [] {
    std::vector<LoadedTables> found;
    dl_iterate_phdr(take, &found);
    return found;
  }();
  return tables;
}

}  // namespace prof::fuzz
