#include "core/record/live_blocks.h"

#include <criterion/criterion.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

#include "core/record/record.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void* block_at(uint64_t address) { return reinterpret_cast<void*>(address); }

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({.heap_rate = 1}));
}

Test(live_blocks, what_was_put_in_is_taken_out_once, .init = setup) {
  Ref replaced = 0;
  cr_assert_not(may_be_live(block_at(0x5000)));
  cr_assert(put_live_block(block_at(0x5000), 17, 99, &replaced));
  cr_assert_eq(replaced, 0u);
  cr_assert(may_be_live(block_at(0x5000)));
  const TakenBlock taken = take_live_block(block_at(0x5000));
  cr_assert_eq(taken.bucket, 17u);
  cr_assert_eq(taken.born_ns, 99);
  cr_assert_eq(take_live_block(block_at(0x5000)).bucket, 0u);
  cr_assert_not(may_be_live(block_at(0x5000)));
}

Test(live_blocks, an_address_given_out_again_replaces_what_was_there, .init = setup) {
  Ref replaced = 0;
  put_live_block(block_at(0x7000), 5, 1, &replaced);
  cr_assert(put_live_block(block_at(0x7000), 6, 2, &replaced));
  cr_assert_eq(replaced, 5u);
  cr_assert_eq(take_live_block(block_at(0x7000)).bucket, 6u);
  cr_assert_not(may_be_live(block_at(0x7000)));
}

Test(live_blocks, a_full_class_of_the_filter_is_asked_about_for_ever, .init = setup) {
  // Addresses of one class: found by search.
  std::vector<uint64_t> same;
  for (uint64_t address = 0x1000; same.size() < 300; address += 16) {
    if (filter_class_of(block_at(address)) == filter_class_of(block_at(0x1000))) same.push_back(address);
  }
  Ref replaced = 0;
  for (const uint64_t address : same) cr_assert(put_live_block(block_at(address), 1, 0, &replaced));
  for (const uint64_t address : same) cr_assert_eq(take_live_block(block_at(address)).bucket, 1u);
  cr_assert(may_be_live(block_at(same[0])), "the counter was full: it cannot be trusted any more");
  forget_live_blocks();
  cr_assert(may_be_live(block_at(same[0])));
}

// Against a map, with entries used again and again.
Test(live_blocks, is_a_map, .init = setup) {
  std::mt19937_64 random(3);
  std::map<uint64_t, Ref> model;
  for (int i = 0; i < rounds(200'000); ++i) {
    const uint64_t address = 0x7f00'0000'0000 + random() % 5000 * 16;
    if (model.count(address) == 0) {
      const Ref bucket = static_cast<Ref>(1 + random() % 1000);
      Ref replaced = 0;
      cr_assert(put_live_block(block_at(address), bucket, 0, &replaced));
      cr_assert_eq(replaced, 0u);
      model[address] = bucket;
    } else {
      cr_assert_eq(take_live_block(block_at(address)).bucket, model[address]);
      model.erase(address);
    }
  }
  for (const auto& [address, bucket] : model) cr_assert_eq(take_live_block(block_at(address)).bucket, bucket);
  const uint64_t used = g_region->used.load();
  cr_assert_lt(used, uint64_t{8} << 20, "entries are used again");
}

// Blocks that one thread puts in and another takes out, in chains that all of them share.
Test(live_blocks, threads_hand_blocks_to_each_other, .init = setup) {
  constexpr int kThreads = 4;
  constexpr int kBlocks = rounds(2000);
  std::atomic<int> state[kThreads][kBlocks] = {};  // 0: free, 1: put in
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const int from = (t + 1) % kThreads;
      for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < kBlocks; ++i) {
          const uint64_t mine = 0x10'0000 + static_cast<uint64_t>(t * kBlocks + i) * 16;
          Ref replaced = 0;
          if (state[t][i].load(std::memory_order_acquire) == 0) {
            cr_assert(put_live_block(block_at(mine), static_cast<Ref>(t * kBlocks + i + 1), 0, &replaced));
            cr_assert_eq(replaced, 0u);
            state[t][i].store(1, std::memory_order_release);
          }
          if (state[from][i].load(std::memory_order_acquire) == 1) {
            const uint64_t other = 0x10'0000 + static_cast<uint64_t>(from * kBlocks + i) * 16;
            cr_assert(may_be_live(block_at(other)));
            cr_assert_eq(take_live_block(block_at(other)).bucket, static_cast<Ref>(from * kBlocks + i + 1));
            state[from][i].store(0, std::memory_order_release);
          }
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}
