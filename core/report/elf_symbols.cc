#include "core/report/elf_symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace prof {
namespace {

constexpr uint64_t kMaxSectionBytes = 512 << 20;
constexpr unsigned kMaxSections = 1 << 16;
constexpr unsigned kMaxNameBytes = 16 * 1024;

}  // namespace

// Bytes of a file or of memory.
class ElfSymbols::Source {
 public:
  explicit Source(int fd) : fd_(fd) {
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) bytes_ = static_cast<uint64_t>(st.st_size);
  }
  Source(const void* image, uint64_t bytes) : image_(static_cast<const char*>(image)), bytes_(bytes) {}

  uint64_t bytes() const { return bytes_; }

  bool read(uint64_t offset, void* to, uint64_t bytes) const {
    if (offset > bytes_ || bytes > bytes_ - offset) return false;
    if (image_ != nullptr) {
      memcpy(to, image_ + offset, bytes);
      return true;
    }
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t got = pread(fd_, at, bytes, static_cast<off_t>(offset));
      if (got <= 0) return false;
      at += got;
      offset += static_cast<uint64_t>(got);
      bytes -= static_cast<uint64_t>(got);
    }
    return true;
  }

  // Null: they are not there, or none were asked for.
  std::unique_ptr<char[]> read_bytes(uint64_t offset, uint64_t bytes) const {
    if (bytes == 0 || bytes > kMaxSectionBytes || offset > bytes_ || bytes > bytes_ - offset) return nullptr;
    auto array = std::make_unique_for_overwrite<char[]>(bytes);
    return read(offset, array.get(), bytes) ? std::move(array) : nullptr;
  }

  template <typename T>
  std::vector<T> read_array(uint64_t offset, uint64_t bytes) const {
    if (bytes > kMaxSectionBytes || offset > bytes_ || bytes > bytes_ - offset) return {};
    std::vector<T> array(bytes / sizeof(T));
    if (!read(offset, array.data(), array.size() * sizeof(T))) array.clear();
    return array;
  }

 private:
  int fd_ = -1;
  const char* image_ = nullptr;
  uint64_t bytes_ = 0;
};

namespace {

std::string find_build_id(const std::vector<char>& notes) {
  for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
    Elf64_Nhdr note;
    memcpy(&note, notes.data() + at, sizeof(note));
    const uint64_t name = at + sizeof(note);
    const uint64_t description = name + ((uint64_t{note.n_namesz} + 3) & ~uint64_t{3});
    const uint64_t next = description + ((uint64_t{note.n_descsz} + 3) & ~uint64_t{3});
    if (description + note.n_descsz > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes.data() + name, "GNU", 4) == 0) {
      std::string hex;
      for (uint64_t i = 0; i < note.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(notes[description + i]);
        hex += "0123456789abcdef"[byte >> 4];
        hex += "0123456789abcdef"[byte & 15];
      }
      return hex;
    }
    at = next;
  }
  return {};
}

// Global before weak before local; a function before a bare label.
uint8_t rank_of(const Elf64_Sym& symbol) {
  const unsigned binding = ELF64_ST_BIND(symbol.st_info);
  const unsigned by_binding = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
  return static_cast<uint8_t>(by_binding + (ELF64_ST_TYPE(symbol.st_info) == STT_NOTYPE ? 4 : 0));
}

}  // namespace

void ElfSymbols::add_symbols(const Source& source, const void* section_table, unsigned sections, unsigned index) {
  const auto* table = static_cast<const Elf64_Shdr*>(section_table);
  if (table[index].sh_link >= sections) return;
  const Elf64_Shdr& strings = table[table[index].sh_link];
  std::unique_ptr<char[]> names = source.read_bytes(strings.sh_offset, strings.sh_size);
  if (names == nullptr) return;
  names[strings.sh_size - 1] = '\0';
  // Block by block: the table itself is not kept.
  constexpr uint64_t kBlock = 1024;
  const uint64_t count = table[index].sh_size / sizeof(Elf64_Sym);
  if (table[index].sh_size > source.bytes()) return;
  symbols_.reserve(count);
  for (uint64_t from = 0; from < count; from += kBlock) {
    const uint64_t bytes = std::min(kBlock, count - from) * sizeof(Elf64_Sym);
    const auto symbols = source.read_array<Elf64_Sym>(table[index].sh_offset + from * sizeof(Elf64_Sym), bytes);
    if (symbols.empty()) break;
    for (const Elf64_Sym& symbol : symbols) {
      const unsigned type = ELF64_ST_TYPE(symbol.st_info);
      const bool is_code =
          type == STT_FUNC || type == STT_GNU_IFUNC ||
          (type == STT_NOTYPE && symbol.st_shndx < sections && (table[symbol.st_shndx].sh_flags & SHF_EXECINSTR) != 0);
      if (!is_code || symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.sh_size || symbol.st_value == 0)
        continue;
      const char* name = names.get() + symbol.st_name;
      if (*name == '\0') continue;
      symbols_.add({symbol.st_value, name, static_cast<uint32_t>(std::min<uint64_t>(symbol.st_size, UINT32_MAX)),
                    rank_of(symbol)});
    }
  }
  names_.push_back(std::move(names));
}

void ElfSymbols::load(const Source& source, bool symbols_only) {
  Elf64_Ehdr header;
  if (!source.read(0, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return;
  }
  if (!symbols_only && header.e_phentsize == sizeof(Elf64_Phdr)) {
    for (const Elf64_Phdr& segment :
         source.read_array<Elf64_Phdr>(header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr))) {
      if (segment.p_type == PT_LOAD) segments_.push_back({segment.p_offset, segment.p_vaddr, segment.p_filesz});
      if (segment.p_type == PT_NOTE && build_id_.empty()) {
        build_id_ = find_build_id(source.read_array<char>(segment.p_offset, segment.p_filesz));
      }
    }
  }
  if (header.e_shentsize != sizeof(Elf64_Shdr)) return;
  const auto table = source.read_array<Elf64_Shdr>(header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr));
  if (table.empty() || table.size() > kMaxSections || header.e_shstrndx >= table.size()) return;
  const auto names = source.read_array<char>(table[header.e_shstrndx].sh_offset, table[header.e_shstrndx].sh_size);
  const auto sections = static_cast<unsigned>(table.size());
  for (unsigned i = 0; i < sections; ++i) {
    if (table[i].sh_type == SHT_SYMTAB) has_full_table_ = true;
    if (table[i].sh_type == SHT_SYMTAB || table[i].sh_type == SHT_DYNSYM)
      add_symbols(source, table.data(), sections, i);
    constexpr std::string_view kLines = ".debug_line";
    if (table[i].sh_name + kLines.size() < names.size() && table[i].sh_type != SHT_NOBITS &&
        std::string_view(names.data() + table[i].sh_name, kLines.size()) == kLines) {
      has_line_table_ = true;
    }
  }
}

ElfSymbols ElfSymbols::of_file(const std::string& path) {
  ElfSymbols elf;
  const auto load = [&](const std::string& from, bool symbols_only) {
    // A name may be anything's: a device is not to be opened.
    struct stat st;
    if (stat(from.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    const int fd = open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    elf.load(Source(fd), symbols_only);
    close(fd);
  };
  load(path, false);
  if (!elf.has_full_table_ && elf.build_id_.size() > 2) {
    load("/usr/lib/debug/.build-id/" + elf.build_id_.substr(0, 2) + "/" + elf.build_id_.substr(2) + ".debug", true);
  }
  elf.symbols_.finish();
  return elf;
}

ElfSymbols ElfSymbols::of_memory(const void* image, uint64_t bytes) {
  ElfSymbols elf;
  elf.load(Source(image, bytes), false);
  elf.symbols_.finish();
  return elf;
}

std::string_view ElfSymbols::find(uint64_t address) const {
  const FunctionSymbol* symbol = symbols_.find(address);
  if (symbol == nullptr) return {};
  return {symbol->name, strnlen(symbol->name, kMaxNameBytes)};
}

uint64_t ElfSymbols::find_start(uint64_t address) const {
  const FunctionSymbol* symbol = symbols_.find(address);
  return symbol == nullptr ? 0 : symbol->start;
}

bool ElfSymbols::address_of_offset(uint64_t file_offset, uint64_t* address) const {
  bool found = false;
  for (const ElfSegment& segment : segments_) {
    // A mapping is of whole pages: it may begin up to a page before the segment and end behind it. Where two segments share a
    // page, the one that really holds the byte is right.
    constexpr uint64_t kPage = 4096;
    const uint64_t first = segment.file_offset & ~(kPage - 1);
    const uint64_t last = (segment.file_offset + segment.bytes + kPage - 1) & ~(kPage - 1);
    if (file_offset < first || file_offset >= last) continue;
    *address = segment.address + (file_offset - segment.file_offset);
    found = true;
    if (file_offset >= segment.file_offset && file_offset < segment.file_offset + segment.bytes) return true;
  }
  return found;
}

}  // namespace prof
