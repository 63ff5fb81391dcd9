// The jumps from our malloc() and free() to the real ones, made shorter while the program runs: a pair costs half a nanosecond less.
//
// It changes instructions of libprof's own, once, and no other's. Where that could be refused in a way that harms or that somebody is
// told of, it is left alone: under a system call filter, SELinux or valgrind, with more than one thread, or with the allocator out of reach.
// And for a heap profile that begins later: a thread, or what a signal handler interrupted, may stand between the two jumps.
#pragma once

namespace prof {

// Normal code: libprof's constructor, before it starts a thread. errno stays.
void call_real_allocator_directly();

}  // namespace prof
