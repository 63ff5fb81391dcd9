// Reads of a stack that never fault. One object a capture, on the handler's stack. Signal-safe.
//
// Readable is: the thread's own stack above the stack pointer; the alternate stack that the context names; else what the
// kernel says of a page (rt_sigprocmask with an invalid `how` copies the set before it refuses: EFAULT or EINVAL, no
// descriptor, no effect; allowed by every seccomp filter that lets a signal handler return).
#pragma once

#include <signal.h>

#include <cstdint>
#include <cstring>

#include "core/unwind/unwind.h"

namespace prof {

class ReadableMemory {
 public:
  ReadableMemory(const ucontext_t& context, const StackBounds& bounds);

  // Of the stack that the caller runs on: the stack pointer's own page is in use, and need not be asked for.
  ReadableMemory(uint64_t sp, const StackBounds& bounds);

  // Of another thread's stack, from sp on: what could be copied of it, and the rest word by word, never read in place.
  ReadableMemory(uint64_t sp, const StackBounds& bounds, StackCopy* copy);

  // The stack pointer has moved to another stack or up this one: reads will follow there.
  void move_to(uint64_t sp);

  // The 8 bytes at address. False: not readable. What is, the kernel tells; a sanitizer that has marked the bytes is not asked.
  [[gnu::no_sanitize_address]] bool read(uint64_t address, uint64_t* value) {
    if (address - low_ < span_) [[likely]] {
      // Of a broken stack: aligned to nothing.
      memcpy(value, reinterpret_cast<const void*>(address + copied_by_), sizeof(*value));
      return true;
    }
    return read_elsewhere(address, value);
  }

  // The end of the stack that sp lies on, 0 where it is not known.
  uint64_t stack_end(uint64_t sp) const;

 private:
  [[gnu::no_sanitize_address]] bool read_elsewhere(uint64_t address, uint64_t* value);
  void take(uint64_t low, uint64_t end);

  const StackBounds own_;
  StackBounds alternate_;
  uint64_t low_ = 0;  // reads that begin in [low_, low_ + span_) are safe
  uint64_t span_ = 0;
  uint64_t copied_by_ = 0;  // what is at an address lies so far behind it
  bool is_copy_ = false;
};

// What the kernel says of the 8 bytes at address.
bool probe_readable(uint64_t address);

}  // namespace prof
