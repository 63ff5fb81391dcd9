// Which allocations are sampled: a Poisson process over a thread's allocated bytes, of mean `rate` bytes between points. An
// allocation is sampled if a point lies in it: with probability 1 - exp(-size / rate). Signal-safe; per-thread state only.
//
// The process has no memory, so after a sampled allocation the distance to the next point is drawn anew. Drawn as a whole number:
// floor(E) with E exponential; size > floor(E) just when size > E. Source: pprof's conventions (Go's runtime, tcmalloc).
#pragma once

#include <cstddef>
#include <cstdint>

namespace prof {

// Bytes that the thread may still allocate unsampled. 0 in a new thread, so that its first allocation asks.
extern __attribute__((visibility("hidden"))) constinit thread_local uint64_t t_bytes_left asm("prof_bytes_left");
// How many times next_sample() was asked in this thread; with t_bytes_left it tells whether an allocation was counted in between.
extern constinit thread_local uint32_t t_sampler_calls;

// The size that sampling goes by. An empty block counts as a byte, or it could never be sampled.
constexpr uint64_t sampled_bytes(uint64_t size) { return size + (size == 0 ? 1 : 0); }

// To be called for each allocation, before it is made. True: there were not as many left, so that this one may be sampled, and
// next_sample() is to be asked after it (or uncount_bytes()). Unsigned: no size, possible or not, makes more of what is left.
inline bool count_bytes(size_t size) {
  // One instruction for the load, the difference and the store, which the compiler does not find.
  bool is_less;
  asm("subq %2, %1" : "=@ccc"(is_less), "+m"(t_bytes_left) : "r"(sampled_bytes(size)));
  return is_less;
}

// After count_bytes() was true: the allocation failed, and shall not count.
inline void uncount_bytes(size_t size) {
  t_bytes_left += sampled_bytes(size);
  ++t_sampler_calls;
}

// After count_bytes(size) was true. Draws the next distance. rate: 1 or more. 0: this allocation is not sampled; else the rate that it is sampled
// by, which after a change is the one that the distance before it was drawn by.
uint64_t next_sample(size_t size, uint64_t rate);

// No sampling in this thread until so many bytes were allocated.
void skip_bytes(uint64_t bytes);

// In a child of fork, for the thread that came out of it: it shall not draw what its parent and its siblings draw.
void forget_draws();

// What one sampled block of a size stands for, in blocks: 1 / (1 - exp(-size / rate)).
double blocks_of_sample(uint64_t size, uint64_t rate);

}  // namespace prof
