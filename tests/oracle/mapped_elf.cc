#include "tests/oracle/mapped_elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace prof::oracle {
namespace {

constexpr uint64_t kPage = 4096;
uint64_t page_down(uint64_t address) { return address & ~(kPage - 1); }
uint64_t page_up(uint64_t address) { return page_down(address + kPage - 1); }

void read_at(int file, void* to, uint64_t bytes, uint64_t offset) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = pread(file, at, bytes, static_cast<off_t>(offset));
    if (got <= 0) fail("the file is too short");
    at += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

}  // namespace

void fail(const std::string& message) {
  fprintf(stderr, "table_rules: %s\n", message.c_str());
  exit(2);
}

MappedElf::MappedElf(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) fail("cannot open " + path);
  Elf64_Ehdr header;
  read_at(file_, &header, sizeof(header), 0);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != EM_X86_64) fail("not an ELF file: " + path);
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  read_at(file_, segments.data(), segments.size() * sizeof(segments[0]), header.e_phoff);

  uint64_t start = UINT64_MAX;
  uint64_t end = 0;
  uint64_t eh_frame_hdr = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_GNU_EH_FRAME) eh_frame_hdr = segment.p_vaddr;
    if (segment.p_type != PT_LOAD) continue;
    start = std::min(start, page_down(segment.p_vaddr));
    end = std::max(end, segment.p_vaddr + segment.p_memsz);
  }
  if (end == 0 || eh_frame_hdr == 0) fail("no unwind tables: " + path);
  // A program that is linked to run at one address may have that in its tables.
  const bool is_fixed = header.e_type == ET_EXEC;
  void* span = mmap(is_fixed ? reinterpret_cast<void*>(start) : nullptr, page_up(end - start), PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (is_fixed ? MAP_FIXED_NOREPLACE : 0), /*fd=*/-1, 0);
  if (span == MAP_FAILED) fail("no memory");
  bias_ = reinterpret_cast<uint64_t>(span) - start;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD) continue;
    const uint64_t first = bias_ + page_down(segment.p_vaddr);
    const uint64_t behind = bias_ + page_up(segment.p_vaddr + segment.p_memsz);
    if (mprotect(reinterpret_cast<void*>(first), behind - first, PROT_READ | PROT_WRITE) != 0) fail("no memory");
    read_at(file_, reinterpret_cast<void*>(bias_ + segment.p_vaddr), segment.p_filesz, segment.p_offset);
  }
  object_ = {bias_ + start, bias_ + end, bias_ + eh_frame_hdr};
}

bool MappedElf::is_signal_return(uint64_t address) const {
  static constexpr char kCode[] = "\x48\xc7\xc0\x0f\0\0\0\x0f\x05";  // mov $15, %rax; syscall
  char code[sizeof(kCode) - 1];
  if (address < object_.start || address + sizeof(code) > object_.end) return false;
  const struct iovec to = {code, sizeof(code)};
  const struct iovec from = {reinterpret_cast<void*>(address), sizeof(code)};
  return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(code) && memcmp(code, kCode, sizeof(code)) == 0;
}

}  // namespace prof::oracle
