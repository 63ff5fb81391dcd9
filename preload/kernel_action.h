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

// What the C library adds to the flags of every action that it sets, for where a handler returns to: it is read back with them.
inline constexpr int kRestorerFlag = 0x0400'0000;

inline uint64_t first_word(const sigset_t& set) {
  uint64_t word;
  __builtin_memcpy(&word, &set, sizeof(word));
  return word;
}

// An action that was set, as it is read back. restorer: what the C library gives those that it sets.
inline struct sigaction as_read_back(const struct sigaction& action, void (*restorer)()) {
  struct sigaction shown = action;
  const uint64_t mask = first_word(action.sa_mask) & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
  __builtin_memcpy(&shown.sa_mask, &mask, sizeof(mask));
  shown.sa_flags |= kRestorerFlag;
  shown.sa_restorer = restorer;
  return shown;
}

}  // namespace prof
