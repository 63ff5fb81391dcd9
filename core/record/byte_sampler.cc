#include "core/record/byte_sampler.h"

#include <cmath>

#include "core/base/clocks.h"

namespace prof {

[[gnu::used]] constinit thread_local uint64_t t_bytes_left = 0;
constinit thread_local uint32_t t_sampler_calls = 0;

namespace {

constinit thread_local uint64_t t_random = 0;  // 0: a new thread
constinit thread_local uint64_t t_rate = 0;    // that the distance was drawn by; 0: it was not

// splitmix64 (Steele, Lea, Flood 2014).
uint64_t next_random() {
  uint64_t x = t_random += 0x9e37'79b9'7f4a'7c15;
  x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
  x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
  return x ^ (x >> 31);
}

uint64_t draw_distance(uint64_t rate) {
  if (rate == 1) return 0;
  // Uniform in (0, 1]: 53 bits, and not 0.
  const double uniform = (static_cast<double>(next_random() >> 11) + 1) * 0x1p-53;
  return static_cast<uint64_t>(-std::log(uniform) * static_cast<double>(rate));
}

}  // namespace

uint64_t next_sample(size_t size, uint64_t rate) {
  ++t_sampler_calls;
  if (t_random == 0) {
    // The address differs between threads that live at once, the time between the others.
    t_random = (static_cast<uint64_t>(clock_ns(CLOCK_MONOTONIC)) * 0x9e37'79b9'7f4a'7c15) ^
               reinterpret_cast<uint64_t>(&t_random) ^ 1;
  }
  if (t_rate == 0) {
    t_rate = rate;
    const uint64_t distance = draw_distance(rate);
    if (distance >= sampled_bytes(size)) {
      t_bytes_left = distance - sampled_bytes(size);
      return 0;
    }
  }
  const uint64_t drawn_by = t_rate;
  t_rate = rate;
  t_bytes_left = draw_distance(rate);
  return drawn_by;
}

void skip_bytes(uint64_t bytes) {
  t_bytes_left = bytes;
  t_rate = 0;
  ++t_sampler_calls;
}

void forget_draws() {
  t_random = 0;
  skip_bytes(0);
}

double blocks_of_sample(uint64_t size, uint64_t rate) {
  if (rate == 1) return 1;
  return -1 / std::expm1(-static_cast<double>(sampled_bytes(size)) / static_cast<double>(rate));
}

}  // namespace prof
