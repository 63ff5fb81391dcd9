#include "core/unwind/unwind_rule.h"

#include <criterion/criterion.h>

#include <initializer_list>

#include "core/unwind/rule_cache.h"

using namespace prof;

Test(unwind_rule, what_goes_in_comes_out) {
  for (const int64_t cfa : {8L, 16L, -8L, (1L << 25) - 8, -(1L << 25)}) {
    for (const int64_t bp : {0L, -16L, 32760L, -32768L}) {
      const UnwindRule rule = UnwindRule::make(RuleKind::cfa_deref_bp, cfa, -8, BpRule::at_cfa, bp);
      cr_assert(rule.kind() == RuleKind::cfa_deref_bp);
      cr_assert(rule.bp() == BpRule::at_cfa);
      cr_assert_eq(rule.cfa_offset(), cfa);
      cr_assert_eq(rule.bp_offset(), bp);
      cr_assert_eq(rule.deref_offset(), -8);
    }
  }
}

Test(unwind_rule, what_does_not_fit_is_complex) {
  cr_assert(UnwindRule::make(RuleKind::cfa_sp, 1L << 25, 0, BpRule::unchanged, 0).kind() == RuleKind::complex);
  cr_assert(UnwindRule::make(RuleKind::cfa_sp, 8, 0, BpRule::at_cfa, 1L << 15).kind() == RuleKind::complex);
  cr_assert(UnwindRule::make(RuleKind::cfa_sp, 8, -40000, BpRule::unchanged, 0).kind() == RuleKind::complex);
}

Test(rule_cache, forgets_when_told_to) {
  const UnwindRule rule = UnwindRule::make(RuleKind::cfa_sp, 24, 0, BpRule::unchanged, 0);
  const uint32_t generation = rule_cache_generation();
  cr_assert(rule_cache_find(0x7f00'0000'1234, generation).kind() == RuleKind::none);
  rule_cache_store(0x7f00'0000'1234, 0x7f00'0000'1234, 0x7f00'0000'1235, generation, rule);
  cr_assert_eq(rule_cache_find(0x7f00'0000'1234, generation).word(), rule.word());
  cr_assert(rule_cache_find(0x7f00'0000'1235, generation).kind() == RuleKind::none);
  rule_cache_forget();
  cr_assert(rule_cache_find(0x7f00'0000'1234, rule_cache_generation()).kind() == RuleKind::none);
}

Test(rule_cache, a_full_round_of_generations_brings_nothing_back) {
  const UnwindRule rule(RuleKind::outermost);
  rule_cache_store(0x7f00'0000'1234, 0x7f00'0000'1234, 0x7f00'0000'1235, rule_cache_generation(), rule);
  for (int i = 0; i < 1 << 16; ++i) rule_cache_forget();
  cr_assert(rule_cache_find(0x7f00'0000'1234, rule_cache_generation()).kind() == RuleKind::none);
}

Test(rule_cache, full_sets_replace_and_never_mix) {
  const uint32_t generation = rule_cache_generation();
  for (uint64_t i = 1; i < 500'000; ++i) {
    rule_cache_store(0x1000 + i * 3, 0x1000 + i * 3, 0x1001 + i * 3, generation,
                     UnwindRule::make(RuleKind::cfa_sp, static_cast<int64_t>(i % 1000) * 8, 0, BpRule::unchanged, 0));
  }
  unsigned found = 0;
  for (uint64_t i = 1; i < 500'000; ++i) {
    const UnwindRule rule = rule_cache_find(0x1000 + i * 3, generation);
    if (rule.kind() == RuleKind::none) continue;
    ++found;
    cr_assert_eq(rule.cfa_offset(), static_cast<int64_t>(i % 1000) * 8);
  }
  cr_assert_gt(found, 5'000u, "half of what there is room for");
}

Test(rule_cache, a_range_is_known_within_its_block) {
  const uint32_t generation = rule_cache_generation();
  const uint64_t block = 0x7f00'0001'0000;
  const UnwindRule rule = UnwindRule::make(RuleKind::cfa_sp, 24, 0, BpRule::unchanged, 0);
  const UnwindRule next = UnwindRule::make(RuleKind::cfa_bp, 16, 0, BpRule::at_cfa, -16);
  rule_cache_store(block + 10, block - 1000, block + 100, generation, rule);
  rule_cache_store(block + 255, block + 100, block + 1000, generation, next);
  for (uint64_t i = 0; i < 256; ++i) {
    cr_assert_eq(rule_cache_find(block + i, generation).word(), (i < 100 ? rule : next).word());
  }
  cr_assert(rule_cache_find(block - 1, generation).kind() == RuleKind::none, "of another block");
  cr_assert(rule_cache_find(block + 256, generation).kind() == RuleKind::none);
}

Test(rule_cache, a_full_line_keeps_the_others) {
  const uint32_t generation = rule_cache_generation();
  const uint64_t block = 0x7f00'0002'0000;
  for (uint64_t i = 0; i < 7; ++i) {
    rule_cache_store(block + i, block + i, block + i + 1, generation,
                     UnwindRule::make(RuleKind::cfa_sp, static_cast<int64_t>(i) * 8, 0, BpRule::unchanged, 0));
  }
  unsigned found = 0;
  for (uint64_t i = 0; i < 7; ++i) {
    const UnwindRule rule = rule_cache_find(block + i, generation);
    if (rule.kind() == RuleKind::none) continue;
    ++found;
    cr_assert_eq(rule.cfa_offset(), static_cast<int64_t>(i) * 8);
  }
  cr_assert_eq(found, 5u);
}

Test(rule_cache, what_is_no_address_is_not_kept) {
  const uint32_t generation = rule_cache_generation();
  const UnwindRule rule(RuleKind::no_info);
  for (const uint64_t address : {uint64_t{5}, uint64_t{1} << 47, ~uint64_t{0} - 5}) {
    rule_cache_store(address, address, address + 1, generation, rule);
    cr_assert(rule_cache_find(address, generation).kind() == RuleKind::none);
  }
}
