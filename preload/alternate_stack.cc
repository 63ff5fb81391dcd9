#include "preload/alternate_stack.h"

#include <sys/auxv.h>

#include <atomic>

namespace prof {
namespace {

constexpr size_t kHandlerBytes = 512;  // what a handler of ours takes beside the kernel's frame
std::atomic<bool> g_too_small{false};

}  // namespace

int on_alternate_stack() { return g_too_small.load(std::memory_order_relaxed) ? 0 : SA_ONSTACK; }

bool alternate_stack_is_usable(size_t bytes) {
  if (bytes >= getauxval(AT_MINSIGSTKSZ) + kHandlerBytes) return true;
  return g_too_small.exchange(true, std::memory_order_relaxed);
}

}  // namespace prof
