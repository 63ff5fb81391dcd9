// Whether the program has instructions of its own that call io_uring_enter, past the C library's syscall() and liburing's library
// (ring_calls.h): a liburing that is linked into it, or what does the same. Who makes such a call cannot be known before it does.
//
// They are looked for in the code that is mapped at that moment, as a compiler makes them of the call:
//
//   b8 aa 01 00 00   mov eax, 426
//   …                the arguments
//   0f 05            syscall
//
// Code that has the number from elsewhere (a function for any system call, not inlined), or is made or loaded later, is not seen.
#pragma once

#include <cstddef>

namespace prof {

// How far the two may be from each other.
inline constexpr size_t kRingCallBytes = 128;

// Whether such a call begins in these bytes. Signal-safe.
bool holds_ring_call(const unsigned char* code, size_t bytes);

// Of all code but libprof's, the C library's and liburing's. Some milliseconds for 10 MB of it. Signal-safe; false too where the kernel does not
// show it (no /proc), or another thread is at it.
bool program_holds_ring_call();

}  // namespace prof
