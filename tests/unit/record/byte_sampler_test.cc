#include "core/record/byte_sampler.h"

#include <criterion/criterion.h>

#include <cmath>
#include <thread>

#include "tests/unit/rounds.h"

using namespace prof;

// Blocks of a size, of so many allocations, that are sampled.
static uint64_t samples_of(uint64_t size, uint64_t allocations, uint64_t rate) {
  uint64_t samples = 0;
  for (uint64_t i = 0; i < allocations; ++i) {
    if (count_bytes(size) && next_sample(size, rate)) ++samples;
  }
  return samples;
}

// The draws are seeded by time: the bounds are 5 standard deviations, once in 1.7 million runs.
Test(byte_sampler, an_allocation_is_sampled_with_the_probability_of_its_size) {
  constexpr uint64_t kRate = 10'000;
  for (const uint64_t size : {1u, 16u, 1000u, 10'000u, 30'000u, 1'000'000u}) {
    const uint64_t allocations = std::max<uint64_t>(rounds(20'000'000) / (size + 10), rounds(20'000));
    const double p = 1 - std::exp(-static_cast<double>(size) / kRate);
    const auto n = static_cast<double>(allocations);
    const double wanted = n * p;
    const double deviation = std::sqrt(n * p * (1 - p));
    const auto samples = static_cast<double>(samples_of(size, allocations, kRate));
    cr_assert_lt(std::fabs(samples - wanted), 5 * deviation + 1e-3, "size %lu: %g of %g", size, samples, wanted);
    cr_assert_float_eq(blocks_of_sample(size, kRate) * p, 1, 1e-9);
  }
}

// Sizes in turn at one place: each keeps its own probability, whatever came before it.
Test(byte_sampler, sizes_in_turn_do_not_disturb_each_other) {
  constexpr uint64_t kRate = 4096;
  constexpr uint64_t kSizes[] = {24, 8000, 100};
  constexpr int kRounds = rounds(300'000);
  double samples[3] = {};
  for (int i = 0; i < kRounds; ++i) {
    for (int s = 0; s < 3; ++s) samples[s] += count_bytes(kSizes[s]) && next_sample(kSizes[s], kRate) ? 1 : 0;
  }
  for (int s = 0; s < 3; ++s) {
    const double p = 1 - std::exp(-static_cast<double>(kSizes[s]) / kRate);
    cr_assert_lt(std::fabs(samples[s] - kRounds * p), 5 * std::sqrt(kRounds * p * (1 - p)));
  }
}

Test(byte_sampler, at_rate_1_every_allocation_is_sampled) {
  cr_assert_eq(samples_of(100, 1000, 1), 1000u);
  cr_assert_eq(samples_of(0, 1000, 1), 1000u, "an empty block too");
  cr_assert_eq(blocks_of_sample(0, 1), 1.0);
}

// A thread's first allocations are sampled as any others are: 20 000 threads of one allocation each.
Test(byte_sampler, the_first_allocation_of_a_thread_is_like_any_other) {
  constexpr uint64_t kRate = 1000;
  constexpr uint64_t kSize = 300;
  constexpr int kThreads = rounds(20'000);
  int samples = 0;
  for (int i = 0; i < kThreads; ++i) {
    std::thread([&] { samples += count_bytes(kSize) && next_sample(kSize, kRate) ? 1 : 0; }).join();
  }
  const double p = 1 - std::exp(-static_cast<double>(kSize) / kRate);
  cr_assert_lt(std::fabs(samples - kThreads * p), 5 * std::sqrt(kThreads * p * (1 - p)));
}

Test(byte_sampler, a_thread_that_skips_is_not_asked_before) {
  skip_bytes(1000);
  cr_assert_not(count_bytes(999));
  cr_assert_not(count_bytes(1));
  cr_assert(count_bytes(1));
}
