// A signal's action and mask as the kernel has them: 64 signals are one word. Signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>

namespace prof {

inline constexpr int kSignals = 64;
constexpr uint64_t signal_bit(int number) { return uint64_t{1} << (number - 1); }

struct KernelAction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

inline uint64_t first_word(const sigset_t& set) {
  uint64_t word;
  __builtin_memcpy(&word, &set, sizeof(word));
  return word;
}

}  // namespace prof
