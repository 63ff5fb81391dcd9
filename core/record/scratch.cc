#include "core/record/scratch.h"

#include <atomic>

namespace prof {
namespace {

// Handlers take microseconds and one thread runs one at a time, so this many are at work only when as many threads were
// descheduled in the middle of one.
constexpr unsigned kScratches = 64;

Scratch g_scratches[kScratches];
std::atomic<uint64_t> g_taken{0};

}  // namespace

Scratch* take_scratch() {
  uint64_t taken = g_taken.load(std::memory_order_relaxed);
  while (~taken != 0) {
    const auto bit = static_cast<unsigned>(__builtin_ctzll(~taken));
    if (g_taken.compare_exchange_weak(taken, taken | uint64_t{1} << bit, std::memory_order_acquire))
      return &g_scratches[bit];
  }
  return nullptr;
}

void give_back_scratch(Scratch* scratch) {
  g_taken.fetch_and(~(uint64_t{1} << (scratch - g_scratches)), std::memory_order_release);
}

void reset_scratch() { g_taken.store(0, std::memory_order_relaxed); }

}  // namespace prof
