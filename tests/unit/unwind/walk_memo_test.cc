#include "core/unwind/walk_memo.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/unwind/rule_cache.h"
#include "core/unwind/unwind.h"
#include "preload/valgrind.h"
#include "tests/unit/unwind/made_stack.h"

using namespace prof;

namespace {

void start() {
  if (is_under_valgrind()) unwind_read_by_copies();
  unwind_start({});
  tell_usual_rules();
}

}  // namespace

TestSuite(walk_memo, .init = start);

Test(walk_memo, the_same_stack_again) {
  MadeStack stack(functions(20));
  for (int i = 0; i < 3; ++i) {
    const std::vector<uint64_t> frames = stack.check();
    cr_assert_eq(frames.size(), 20u);
    cr_assert_eq(frames.back(), return_into(0) - 1);
    cr_assert(stack.walk_end() == StackEnd::complete);
  }
}

Test(walk_memo, it_is_used) {
  MadeStack stack(functions(20));
  stack.check();
  // Rules that nobody would follow: what the memo has is walked without them. The generation is the same.
  for (unsigned i = 0; i < kFunctions; ++i) {
    if (i % 2 == 0) continue;
    for (int k = 0; k < 6; ++k) tell_rule(i, UnwindRule(RuleKind::outermost));
  }
  cr_assert_lt(stack.walk(1000, /*memo=*/false).size(), 20u);
  cr_assert_eq(stack.walk(1000, /*memo=*/true).size(), 20u);
}

Test(walk_memo, calls_and_returns) {
  MadeStack stack(functions(10));
  unsigned seed = 1;
  for (int turn = 0; turn < 2000; ++turn) {
    for (int i = rand_r(&seed) % 5; i > 0 && stack.depth() > 1; --i) stack.go_back();
    for (int i = rand_r(&seed) % 5; i > 0; --i) stack.call(1 + static_cast<unsigned>(rand_r(&seed)) % (kFunctions - 1));
    if (stack.depth() > 120) stack.go_back(100);
    cr_assert_eq(stack.check().size(), stack.depth());
  }
}

Test(walk_memo, another_return_address_in_an_outer_frame) {
  MadeStack stack(functions(20));
  for (unsigned index = 1; index < 20; ++index) {
    stack.check();
    const uint64_t was = stack.return_address(index);
    stack.return_address(index) = return_into(40);
    const std::vector<uint64_t> frames = stack.check();
    cr_assert_eq(frames[20 - index], return_into(40) - 1);
    stack.return_address(index) = was;
    cr_assert_eq(stack.check().size(), 20u);
  }
}

Test(walk_memo, another_saved_bp_in_an_outer_frame) {
  MadeStack stack(functions(20));
  for (unsigned index = 5; index < 20; ++index) {
    stack.check();
    const uint64_t was = stack.saved_bp(index);
    // As if the caller were the frame three further out: what is found by rbp is found there.
    stack.saved_bp(index) = stack.bp_of(index - 4);
    stack.check();
    stack.saved_bp(index) = was;
    cr_assert_eq(stack.check().size(), 20u);
  }
}

Test(walk_memo, another_sp_or_bp_of_the_leaf) {
  MadeStack stack(functions(20));
  for (const uint64_t by : {8u, 32u, 64u, 1u, 100'000u}) {
    stack.check();
    stack.registers().sp -= by;
    stack.check();
    stack.registers().sp += 2 * by;
    stack.check();
    stack.registers().sp -= by;
    stack.registers().bp += by;
    stack.check();
    stack.registers().bp -= by;
    cr_assert_eq(stack.check().size(), 20u);
  }
}

Test(walk_memo, a_return_address_that_differs_in_its_top_bit) {
  MadeStack stack(functions(20));
  stack.check();
  stack.return_address(10) ^= uint64_t{1} << 63;
  stack.check();
  stack.check();
  stack.return_address(10) ^= uint64_t{1} << 63;
  cr_assert_eq(stack.check().size(), 20u);
}

Test(walk_memo, a_stack_that_ends_early) {
  MadeStack stack(functions(20));
  stack.check();
  const uint64_t was = stack.return_address(10);
  for (const uint64_t end : {uint64_t{0}, uint64_t{17}, code(100)}) {
    stack.return_address(10) = end;
    stack.check();
    stack.check();
    stack.return_address(10) = was;
    cr_assert_eq(stack.check().size(), 20u);
  }
}

Test(walk_memo, stacks_deeper_than_it) {
  MadeStack stack(functions(WalkMemo::kFrames * 3));
  for (const unsigned capacity : {1000u, 1u, 100u, WalkMemo::kFrames, 1000u, 200u}) {
    for (int i = 0; i < 3; ++i) {
      const std::vector<uint64_t> frames = stack.check(capacity);
      cr_assert_eq(frames.size(), std::min(capacity, stack.depth()));
      cr_assert(stack.walk_end() == (capacity < stack.depth() ? StackEnd::too_deep : StackEnd::complete));
      stack.go_back(2);
      stack.call(3);
      stack.call(8);
    }
  }
  stack.go_back(WalkMemo::kFrames * 2);
  cr_assert_eq(stack.check().size(), stack.depth());
}

Test(walk_memo, another_generation_of_rules) {
  MadeStack stack(functions(20));
  stack.check();
  rule_cache_forget();
  // Other code has come to the addresses.
  tell_usual_rules();
  for (unsigned i = 2; i < 20; i += 2) {
    rule_cache_forget();
    tell_usual_rules();
    rule_cache_forget();
    for (unsigned k = 0; k < kFunctions; ++k) tell_rule(k, k == i ? UnwindRule(RuleKind::outermost) : usual_rule(k));
    cr_assert_eq(stack.check().back(), return_into(i) - 1);
    rule_cache_forget();
    tell_usual_rules();
    cr_assert_eq(stack.check().size(), 20u);
  }
}

Test(walk_memo, what_is_kept_is_of_one_generation_and_one_process) {
  WalkMemo* memo = take_walk_memo(kThread);
  memo->begin(1);
  memo->add({return_into(1), 1000, 2000, WalkedFrame::kOutermost});
  memo->end(0);
  memo->begin(1);
  cr_assert_not_null(memo->find(return_into(1), 1000, 2000));
  cr_assert_null(memo->find(return_into(1), 1000, 2008));
  cr_assert_null(memo->find(return_into(1) + 1, 1000, 2000));
  memo->end(1);
  memo->begin(2);
  cr_assert_null(memo->find(return_into(1), 1000, 2000), "of another generation");
  memo->add({return_into(1), 1000, 2000, WalkedFrame::kOutermost});
  memo->end(0);
  give_back_walk_memo(memo);
  forget_walks();
  cr_assert_eq(take_walk_memo(kThread), memo);
  memo->begin(2);
  cr_assert_null(memo->find(return_into(1), 1000, 2000), "of another process");
  give_back_walk_memo(memo);
}

Test(walk_memo, one_is_taken_once) {
  WalkMemo* memo = take_walk_memo(kThread);
  cr_assert_not_null(memo);
  cr_assert_null(take_walk_memo(kThread), "by a signal of the same thread");
  cr_assert_null(take_walk_memo(kThread + kWalkMemos), "by a thread that shares it");
  WalkMemo* other = take_walk_memo(kThread + 1);
  cr_assert(other != nullptr && other != memo);
  give_back_walk_memo(other);
  give_back_walk_memo(memo);
  cr_assert_eq(take_walk_memo(kThread + kWalkMemos), memo);
  give_back_walk_memo(memo);
}

Test(walk_memo, a_walk_that_finds_it_taken) {
  MadeStack stack(functions(20));
  stack.check();
  WalkMemo* memo = take_walk_memo(kThread);
  memo->begin(rule_cache_generation());
  stack.return_address(10) = return_into(40);
  stack.check();
  memo->end(0);
  give_back_walk_memo(memo);
  stack.check();
  stack.check();
}

Test(walk_memo, a_fork_in_the_middle_of_a_walk) {
  MadeStack stack(functions(20));
  stack.check();
  take_walk_memo(kThread);
  const pid_t child = fork();
  if (child == 0) {
    forget_walks();
    stack.check();
    WalkMemo* memo = take_walk_memo(kThread);
    if (memo == nullptr) _exit(1);
    give_back_walk_memo(memo);
    stack.check();
    _exit(stack.check().size() == 20 ? 0 : 2);
  }
  int status = -1;
  waitpid(child, &status, 0);
  cr_assert_eq(status, 0);
}
