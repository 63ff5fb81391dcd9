#include "core/unwind/code_lookup.h"

#include <dlfcn.h>

#include <atomic>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

std::atomic<uint32_t> g_unloading{0};
std::atomic<uint32_t> g_readers{0};

}  // namespace

bool find_code_object(uint64_t pc, CodeObject* object) {
  struct dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0 || found.dlfo_eh_frame == nullptr) return false;
  object->start = reinterpret_cast<uint64_t>(found.dlfo_map_start);
  object->end = reinterpret_cast<uint64_t>(found.dlfo_map_end);
  object->eh_frame_hdr = reinterpret_cast<uint64_t>(found.dlfo_eh_frame);
  return true;
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
