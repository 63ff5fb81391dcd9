#include "preload/fork_flag.h"

#include <sys/mman.h>

namespace prof {

std::atomic<uint32_t>* g_fork_flag = nullptr;

bool fork_flag_set() {
  if (g_fork_flag == nullptr) {
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    if (madvise(page, 4096, MADV_WIPEONFORK) != 0) {
      munmap(page, 4096);
      return false;
    }
    g_fork_flag = static_cast<std::atomic<uint32_t>*>(page);
  }
  g_fork_flag->store(1, std::memory_order_relaxed);
  return true;
}

}  // namespace prof
