#include "preload/own_stack.h"

#include <signal.h>

#include "core/base/call_on_stack.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "core/record/scratch.h"
#include "core/record/stack_table.h"
#include "core/record/unloaded_modules.h"
#include "core/unwind/unwind.h"
#include "preload/signals_blocked.h"
#include "preload/thread_clock.h"

namespace prof {
namespace {

constexpr uint64_t kRoom =
    48 * 1024;  // Scratch::kStackBytes is what a walk may need; the rest is for a handler of the program's

struct Walk {
  CalleeSaved caller;
  StackBounds bounds;
  unsigned depth;
  unsigned thread;
  Ref stack;
};

// What a stack's Ref rests on beside the stack itself.
uint64_t key_of(uint32_t generation, unsigned depth) { return uint64_t{generation} << 32 | depth; }

void intern(uint64_t* frames, const CaptureResult& result, uint32_t generation, Walk* walk) {
  walk->stack = intern_stack(frames, end_stack(frames, result.frames, result.end), generation);
  if (walk->stack == 0) return count_loss(LossCause::region_full);
  // One that ends early is walked each time, since each is counted as a loss.
  if (result.end != StackEnd::complete) return;
  stack_is_known(walk->caller, walk->bounds, walk->thread, key_of(generation, walk->depth), walk->stack);
}

__attribute__((noinline)) void walk_here(Walk* walk) {
  auto* frames = static_cast<uint64_t*>(__builtin_alloca((walk->depth + 2) * sizeof(uint64_t)));
  const uint32_t generation = module_generation();
  intern(frames, capture(walk->caller, walk->bounds, walk->thread, frames, walk->depth), generation, walk);
}

struct ScratchWalk {
  Walk* walk;
  uint64_t* frames;
};

void walk_on_scratch(void* argument) {
  const auto& [walk, frames] = *static_cast<const ScratchWalk*>(argument);
  const uint32_t generation = module_generation();
  intern(frames, capture(walk->caller, walk->bounds, walk->thread, frames, walk->depth), generation, walk);
}

__attribute__((noinline)) void walk_aside(Walk* walk) {
  const SignalsBlocked blocked;
  if (Scratch* scratch = take_scratch(); scratch != nullptr) {
    ScratchWalk aside = {walk, scratch->frames};
    prof_call_on_stack(scratch->stack_top(), walk_on_scratch, &aside);
    give_back_scratch(scratch);
  } else {
    count_loss(LossCause::no_scratch);
  }
}

}  // namespace

// Its frame is where the walk begins; libprof's own are left out of every stack.
__attribute__((noinline)) Ref own_stack(unsigned depth) {
  Walk walk = {{}, {}, depth, 0, 0};
  if (const ThreadSlot* slot = slot_of_this_thread(); slot != nullptr) {
    walk.bounds = {slot->stack_low, slot->stack_high};
    walk.thread = static_cast<unsigned>(slot->tid.load(std::memory_order_relaxed));
  }
  CalleeSaved& caller = walk.caller;
  asm volatile(
      "leaq 0f(%%rip), %%rax\n0:\n\t"
      "movq %%rax, %0\n\t"
      "movq %%rsp, %1\n\t"
      "movq %%rbp, %2\n\t"
      "movq %%rbx, %3\n\t"
      "movq %%r12, %4\n\t"
      "movq %%r13, %5\n\t"
      "movq %%r14, %6\n\t"
      "movq %%r15, %7"
      : "=m"(caller.pc), "=m"(caller.sp), "=m"(caller.bp), "=m"(caller.bx), "=m"(caller.r12), "=m"(caller.r13),
        "=m"(caller.r14), "=m"(caller.r15)
      :
      : "rax");
  const uint64_t key = key_of(module_generation(), depth);
  if (const Ref known = known_stack(caller, walk.bounds, walk.thread, key); known != 0) return known;
  const bool has_room = caller.sp < walk.bounds.high && caller.sp > walk.bounds.low + kRoom;
  if (has_room) {
    walk_here(&walk);
  } else {
    walk_aside(&walk);
  }
  return walk.stack;
}

}  // namespace prof
