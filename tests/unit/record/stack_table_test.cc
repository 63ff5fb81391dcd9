#include "core/record/stack_table.h"

#include <criterion/criterion.h>

#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "core/record/cpu_buckets.h"
#include "core/record/record.h"
#include "core/record/thread_names.h"
#include "core/report/snapshot_from_region.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
  region_root<CpuRecord>(Root::cpu)->period_ns = 10'000'000;
}

static uint64_t total_ticks(uint32_t stretch) {
  uint64_t total = 0;
  for (const CpuSample& sample : snapshot_from_region(RegionView::of_self(g_region), {stretch}).cpu.samples)
    total += sample.ticks;
  return total;
}

Test(stack_table, equal_stacks_are_one_and_others_are_not, .init = setup) {
  const uint64_t frames[] = {0x1000, 0x2000, 0x3000};
  const uint64_t others[] = {0x1000, 0x2000, 0x3001};
  const Ref ref = intern_stack(frames, 3, 0);
  cr_assert_neq(ref, 0u);
  cr_assert_eq(intern_stack(frames, 3, 0), ref);
  cr_assert_neq(intern_stack(frames, 2, 0), ref, "a shorter one");
  cr_assert_neq(intern_stack(frames, 3, 1), ref, "the same addresses after an unloading");
  cr_assert_neq(intern_stack(others, 3, 0), ref);
}

Test(stack_table, a_hundred_thousand_stacks_keep_their_frames, .init = setup) {
  std::mt19937_64 random(1);
  std::map<Ref, std::vector<uint64_t>> stacks;
  for (int i = 0; i < 100'000; ++i) {
    std::vector<uint64_t> frames(1 + random() % 40);
    for (uint64_t& frame : frames) frame = random() >> 17;
    const Ref ref = intern_stack(frames.data(), static_cast<uint32_t>(frames.size()), 0);
    cr_assert_neq(ref, 0u);
    stacks[ref] = frames;
  }
  for (const auto& [ref, frames] : stacks) {
    const auto* entry = region_at<StackEntry>(ref);
    cr_assert_eq(entry->count, frames.size());
    cr_assert(std::equal(frames.begin(), frames.end(), entry->frames));
    cr_assert_eq(intern_stack(frames.data(), entry->count, 0), ref);
  }
}

Test(cpu_buckets, threads_lose_no_tick, .init = setup) {
  constexpr int kThreads = 4;
  constexpr int kRounds = rounds(20'000);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      const char names[2][kThreadNameBytes] = {"even", "odd"};
      for (uint64_t i = 0; i < kRounds; ++i) {
        const uint64_t frames[] = {0x5000 + i % 97, 0x6000};
        const Ref stack = intern_stack(frames, 2, 0);
        cr_assert(count_cpu_ticks(stack, intern_thread_name(names[t % 2]), 0, 1, 1 + i % 3));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  uint64_t expected = 0;
  for (uint64_t i = 0; i < kRounds; ++i) expected += 1 + i % 3;
  cr_assert_eq(total_ticks(1), expected * kThreads);
  std::set<std::string> names;
  for (const CpuSample& sample : snapshot_from_region(RegionView::of_self(g_region), {1}).cpu.samples)
    names.insert(sample.thread_name);
  cr_assert(names == std::set<std::string>({"even", "odd"}));
}

Test(cpu_buckets, stretches_are_apart_and_the_last_two_can_be_read, .init = setup) {
  const uint64_t frames[] = {0x5000};
  const Ref stack = intern_stack(frames, 1, 0);
  // Over the end of the 16 bits that a word has for the number.
  for (const uint32_t stretch : {1u, 2u, 3u, 65'535u, 65'536u, 65'537u, 69'999u, 70'000u}) {
    cr_assert(count_cpu_ticks(stack, 0, 0, stretch, stretch));
    cr_assert(count_cpu_ticks(stack, 0, 0, stretch, 1));
    cr_assert_eq(total_ticks(stretch), stretch + 1);
    cr_assert_eq(total_ticks(stretch + 1), 0u);
  }
  cr_assert_eq(total_ticks(69'999), 70'000u);
}
