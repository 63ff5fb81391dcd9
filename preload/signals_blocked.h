// Every signal blocked for the calling thread for as long as this lives: no handler runs amid what is done meanwhile, and a child that is
// made meanwhile begins so. By bare system calls, so that the program's view of its mask (interpose_signal) is not asked; errno stays.
// What is done meanwhile must not leave by a jump: the mask would stay. Signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>

#include "core/base/raw_syscall.h"

namespace prof {

class SignalsBlocked {
 public:
  SignalsBlocked() { raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &kAll, &before_, sizeof(before_)); }
  ~SignalsBlocked() { raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before_, nullptr, sizeof(before_)); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  // number: 1 to 64. Whether the thread had it blocked already.
  bool was_blocked(int number) const { return (before_ >> (number - 1) & 1) != 0; }

 private:
  static constexpr uint64_t kAll = ~uint64_t{0};
  uint64_t before_ = 0;
};

}  // namespace prof
