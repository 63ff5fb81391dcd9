// Keeps the interrupted code's errno. One at the top of every signal handler and of every hook that does more than call
// the real function. Signal-safe.
#pragma once

#include <cerrno>

namespace prof {

class ErrnoSaver {
 public:
  ErrnoSaver() : saved_(errno) {}
  ~ErrnoSaver() { errno = saved_; }
  ErrnoSaver(const ErrnoSaver&) = delete;
  ErrnoSaver& operator=(const ErrnoSaver&) = delete;

 private:
  const int saved_;
};

}  // namespace prof
