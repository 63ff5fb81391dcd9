#include "core/unwind/known_walks.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "core/unwind/rule_cache.h"
#include "core/unwind/unwind.h"
#include "core/unwind/walk_memo.h"
#include "preload/valgrind.h"
#include "tests/unit/unwind/made_stack.h"

using namespace prof;

namespace {

constexpr uint64_t kKey = 100;

void start() {
  if (is_under_valgrind()) unwind_read_by_copies();
  unwind_start({});
  tell_usual_rules();
}

// The stacks that were met, by number.
class Met {
 public:
  // The frames that are known for the stack, or found by a walk, which is known from then on. was_known: which of these.
  const std::vector<uint64_t>& frames_of(MadeStack* stack, bool* was_known, uint64_t key = kKey) {
    const CalleeSaved here = stack->here();
    const uint32_t known = known_stack(here, stack->bounds(), kThread, key);
    *was_known = known != 0;
    if (known != 0) return stacks_[known - 1];
    std::vector<uint64_t> frames(1000);
    const CaptureResult result = capture(here, stack->bounds(), kThread, frames.data(), 1000);
    frames.resize(result.frames);
    stacks_.push_back(frames);
    if (result.end == StackEnd::complete) {
      stack_is_known(here, stack->bounds(), kThread, key, static_cast<uint32_t>(stacks_.size()));
    }
    return stacks_.back();
  }

 private:
  std::vector<std::vector<uint64_t>> stacks_;
};

// Right, and as known as `known` says.
void check(Met* met, MadeStack* stack, bool known, uint64_t key = kKey) {
  bool was_known = false;
  const std::vector<uint64_t> frames = met->frames_of(stack, &was_known, key);
  cr_assert(frames == stack->walk(1000, /*memo=*/false));
  cr_assert_eq(was_known, known);
}

}  // namespace

TestSuite(known_walks, .init = start);

Test(known_walks, a_stack_that_was_walked_is_known) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  for (int i = 0; i < 3; ++i) check(&met, &stack, true);
}

Test(known_walks, two_places_in_turn) {
  MadeStack stack(functions(20));
  Met met;
  for (int turn = 0; turn < 10; ++turn) {
    for (const unsigned leaf : {7u, 8u, 9u}) {
      stack.call(leaf);
      check(&met, &stack, turn > 0);
      stack.go_back();
    }
  }
}

Test(known_walks, any_changed_word_makes_it_unknown) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  for (unsigned index = 1; index < 20; ++index) {
    const uint64_t return_was = stack.return_address(index);
    stack.return_address(index) = return_into(40);
    check(&met, &stack, false);
    stack.return_address(index) = return_was;
    const uint64_t bp_was = stack.saved_bp(index);
    stack.saved_bp(index) = index >= 5 ? stack.bp_of(index - 4) : bp_was ^ 64;
    bool was_known;
    cr_assert(met.frames_of(&stack, &was_known) == stack.walk(1000, /*memo=*/false));
    cr_assert_not(was_known);
    stack.saved_bp(index) = bp_was;
    cr_assert(met.frames_of(&stack, &was_known) == stack.walk(1000, /*memo=*/false));
  }
}

Test(known_walks, calls_and_returns) {
  MadeStack stack(functions(10));
  Met met;
  unsigned seed = 1, known = 0;
  for (int turn = 0; turn < 5000; ++turn) {
    for (int i = rand_r(&seed) % 3; i > 0 && stack.depth() > 1; --i) stack.go_back();
    for (int i = rand_r(&seed) % 3; i > 0; --i) stack.call(1 + static_cast<unsigned>(rand_r(&seed)) % 4);
    if (stack.depth() > 60) stack.go_back(50);
    bool was_known;
    cr_assert(met.frames_of(&stack, &was_known) == stack.walk(1000, /*memo=*/false));
    known += was_known;
  }
  cr_assert_gt(known, 500u);
}

Test(known_walks, another_sp_bp_or_key) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  check(&met, &stack, false, kKey + 1);
  check(&met, &stack, true);
  bool was_known;
  for (const uint64_t by : {8u, 32u, 64u, 1u, 100'000u}) {
    stack.registers().sp -= by;
    met.frames_of(&stack, &was_known);
    cr_assert_not(was_known);
    stack.registers().sp += by;
    stack.registers().bp += by;
    met.frames_of(&stack, &was_known);
    cr_assert_not(was_known);
    stack.registers().bp -= by;
  }
}

Test(known_walks, a_stack_that_ends_early_is_walked_each_time) {
  MadeStack stack(functions(20));
  Met met;
  stack.return_address(10) = 17;
  for (int i = 0; i < 3; ++i) check(&met, &stack, false);
}

Test(known_walks, a_stack_that_is_too_deep_for_it) {
  MadeStack stack(functions(KnownWalks::kWords));  // two words a frame
  Met met;
  for (int i = 0; i < 3; ++i) check(&met, &stack, false);
}

Test(known_walks, another_generation_of_rules) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  rule_cache_forget();
  tell_usual_rules();
  check(&met, &stack, false);
  check(&met, &stack, true);
}

Test(known_walks, bounds_that_do_not_hold_what_was_read) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  // The thread that has the number now may have a smaller stack.
  StackBounds bounds = stack.bounds();
  bounds.high = stack.here().sp + 64;
  cr_assert_eq(known_stack(stack.here(), bounds, kThread, kKey), 0u);
  bounds = {stack.here().sp + 8, stack.bounds().high};
  cr_assert_eq(known_stack(stack.here(), bounds, kThread, kKey), 0u);
  cr_assert_eq(known_stack(stack.here(), {}, kThread, kKey), 0u);
  cr_assert_neq(known_stack(stack.here(), stack.bounds(), kThread, kKey), 0u);
}

Test(known_walks, another_walk_between_the_walk_and_its_number) {
  MadeStack stack(functions(20)), other(functions(10));
  std::vector<uint64_t> frames(1000);
  capture(stack.here(), stack.bounds(), kThread, frames.data(), 1000);
  capture(other.here(), other.bounds(), kThread, frames.data(), 1000);
  stack_is_known(stack.here(), stack.bounds(), kThread, kKey, 1);
  cr_assert_eq(known_stack(stack.here(), stack.bounds(), kThread, kKey), 0u);
}

Test(known_walks, taken_by_another_walk) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  WalkMemo* memo = take_walk_memo(kThread);
  check(&met, &stack, false);
  give_back_walk_memo(memo);
  check(&met, &stack, true);
}

Test(known_walks, a_child_of_fork_knows_none) {
  MadeStack stack(functions(20));
  Met met;
  check(&met, &stack, false);
  const pid_t child = fork();
  if (child == 0) {
    forget_walks();
    _exit(known_stack(stack.here(), stack.bounds(), kThread, kKey) == 0 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  cr_assert_eq(status, 0);
}
