#include "tests/oracle/libdw_tables.h"

#include <dwarf.h>
#include <gelf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "tests/oracle/mapped_elf.h"

namespace prof::oracle {
namespace {

// The augmentation data's place and a pointer's size, for the one number that libdw gives no access to: where an entry begins.
size_t encoded_size(uint8_t encoding) {
  switch (encoding & 7) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
      return 8;
    case DW_EH_PE_udata4:
      return 4;
    case DW_EH_PE_udata2:
      return 2;
    default:
      fail("a pointer of variable length in .eh_frame");
  }
}

uint8_t code_encoding(const Dwarf_CIE& cie) {
  if (cie.augmentation[0] != 'z') return DW_EH_PE_absptr;
  const uint8_t* data = cie.augmentation_data;
  for (const char* letter = cie.augmentation + 1; *letter != 0; ++letter) {
    if (*letter == 'R') return *data;
    if (*letter == 'L') ++data;
    if (*letter == 'P') data += 1 + encoded_size(*data);
  }
  return DW_EH_PE_absptr;
}

uint64_t number_at(const uint8_t* at, uint8_t format) {
  const size_t bytes = encoded_size(format);
  uint64_t number = 0;
  memcpy(&number, at, bytes);
  const bool is_signed = (format & DW_EH_PE_signed) != 0;
  if (is_signed && bytes < 8 && (number >> (bytes * 8 - 1)) != 0) number |= ~uint64_t{0} << (bytes * 8);
  return number;
}

}  // namespace

LibdwTables::LibdwTables(int file) {
  elf_version(EV_CURRENT);
  elf_ = elf_begin(file, ELF_C_READ_MMAP, nullptr);
  cfi_ = elf_ == nullptr ? nullptr : dwarf_getcfi_elf(elf_);
  if (cfi_ == nullptr) fail("libdw finds no .eh_frame: " + std::string(dwarf_errmsg(-1)));
  read_entries();
}

LibdwTables::~LibdwTables() {
  dwarf_cfi_end(cfi_);
  elf_end(elf_);
}

void LibdwTables::read_entries() {
  size_t names = 0;
  elf_getshdrstrndx(elf_, &names);
  GElf_Shdr header = {};
  Elf_Scn* section = nullptr;
  while ((section = elf_nextscn(elf_, section)) != nullptr) {
    const char* name = gelf_getshdr(section, &header) == nullptr ? nullptr : elf_strptr(elf_, names, header.sh_name);
    if (name != nullptr && strcmp(name, ".eh_frame") == 0) break;
  }
  Elf_Data* data = section == nullptr ? nullptr : elf_rawdata(section, nullptr);
  if (data == nullptr) fail("no section .eh_frame");
  const auto* ident = reinterpret_cast<const unsigned char*>(elf_getident(elf_, nullptr));

  std::map<uint64_t, uint8_t> encodings;  // by the common entry's offset
  Dwarf_Off offset = 0;
  Dwarf_Off next = 0;
  Dwarf_CFI_Entry entry;
  int status = 0;
  for (; (status = dwarf_next_cfi(ident, data, /*eh_frame_p=*/true, offset, &next, &entry)) == 0; offset = next) {
    if (dwarf_cfi_cie_p(&entry)) {
      encodings[offset] = code_encoding(entry.cie);
      continue;
    }
    const uint8_t encoding = encodings.at(entry.fde.CIE_pointer);
    const uint64_t itself =
        header.sh_addr + static_cast<uint64_t>(entry.fde.start - static_cast<const uint8_t*>(data->d_buf));
    uint64_t start = number_at(entry.fde.start, encoding & 0x0f);
    if ((encoding & 0x70) == DW_EH_PE_pcrel) start += itself;
    const uint64_t bytes = number_at(entry.fde.start + encoded_size(encoding), encoding & 7);
    // The linker leaves an entry of nothing where it dropped the code.
    if (bytes != 0) entries_.push_back({start, start + bytes});
  }
  if (status < 0) fail("libdw: " + std::string(dwarf_errmsg(-1)));
  std::sort(entries_.begin(), entries_.end(), [](const TableEntry& a, const TableEntry& b) {
    return a.start != b.start ? a.start < b.start : a.end < b.end;
  });
}

bool LibdwTables::row_at(uint64_t address, TableRow* row) const {
  Dwarf_Frame* frame = nullptr;
  if (dwarf_cfi_addrframe(cfi_, address, &frame) != 0) {
    row->is_refused = strcmp(dwarf_errmsg(-1), "invalid CFI section") == 0;  // its numbers are not public
    return false;
  }
  row->frame = std::shared_ptr<Dwarf_Frame>(frame, free);
  Dwarf_Addr start = 0;
  Dwarf_Addr end = 0;
  if (dwarf_frame_info(frame, &start, &end, &row->is_signal_frame) != 16) fail("the return address is in no column 16");
  row->start = start;
  row->end = end;
  return true;
}

}  // namespace prof::oracle
