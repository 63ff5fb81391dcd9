#include "core/unwind/code_lookup.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/auxv.h>

#include <atomic>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

std::atomic<uint32_t> g_unloading{0};
std::atomic<uint32_t> g_readers{0};

constexpr unsigned kMaxSegments = 16;
struct Segment {
  uint64_t start;
  uint64_t end;
};
Segment g_program[kMaxSegments];
unsigned g_program_segments = 0;

}  // namespace

void code_lookup_start() {
  const auto* headers = reinterpret_cast<const Elf64_Phdr*>(getauxval(AT_PHDR));
  if (headers == nullptr || getauxval(AT_PHENT) != sizeof(Elf64_Phdr)) return;
  const uint64_t count = getauxval(AT_PHNUM);
  uint64_t base = 0;  // of a program that is not position-independent
  for (uint64_t i = 0; i < count; ++i) {
    if (headers[i].p_type == PT_PHDR) base = reinterpret_cast<uint64_t>(headers) - headers[i].p_vaddr;
  }
  g_program_segments = 0;
  for (uint64_t i = 0; i < count && g_program_segments < kMaxSegments; ++i) {
    if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_R) == 0) continue;
    const uint64_t start = base + headers[i].p_vaddr;
    g_program[g_program_segments++] = {start, start + headers[i].p_filesz};
  }
}

bool find_code_object(uint64_t pc, CodeObject* object) {
  struct dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0 || found.dlfo_eh_frame == nullptr) return false;
  object->start = reinterpret_cast<uint64_t>(found.dlfo_map_start);
  object->end = reinterpret_cast<uint64_t>(found.dlfo_map_end);
  object->eh_frame_hdr = reinterpret_cast<uint64_t>(found.dlfo_eh_frame);
  if (object->eh_frame_hdr >= object->start && object->eh_frame_hdr < object->end) return true;
  for (unsigned i = 0; i < g_program_segments; ++i) {
    if (object->eh_frame_hdr < g_program[i].start || object->eh_frame_hdr >= g_program[i].end) continue;
    object->start = g_program[i].start;
    object->end = g_program[i].end;
    return true;
  }
  return false;
}

// Dekker's pattern: each side announces itself, then looks at the other. Sequential consistency on all four is what makes
// "neither sees the other" impossible.
void unloading_begin() {
  g_unloading.fetch_add(1, std::memory_order_seq_cst);
  while (g_readers.load(std::memory_order_seq_cst) != 0) raw_syscall(SYS_sched_yield);
}

void unloading_end() { g_unloading.fetch_sub(1, std::memory_order_seq_cst); }

CodeReader::CodeReader() {
  g_readers.fetch_add(1, std::memory_order_seq_cst);
  direct_ = g_unloading.load(std::memory_order_seq_cst) == 0;
  // Not counted then: the unloading thread itself may be the one that is interrupted, in the middle of its unloading.
  if (!direct_) g_readers.fetch_sub(1, std::memory_order_seq_cst);
}

CodeReader::~CodeReader() {
  if (direct_) g_readers.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace prof
