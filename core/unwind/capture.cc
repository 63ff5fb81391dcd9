#include "core/unwind/code_lookup.h"
#include "core/unwind/machine.h"
#include "core/unwind/slow_walk.h"
#include "core/unwind/unwind.h"
#include "core/unwind/walker.h"

namespace prof {
namespace {

struct SlowVisit {
  Frames* frames;
  bool full = false;
};

bool visit_slow(void* self, uint64_t pc, bool is_return_address) {
  auto* visit = static_cast<SlowVisit*>(self);
  visit->full = !visit->frames->add(is_return_address ? lookup_of_return(pc) : lookup_of_pc(pc));
  return !visit->full;
}

// From the leaf again, since the rules that were used so far kept sp and bp only.
CaptureResult walk_slowly(const ucontext_t& context, ReadableMemory memory, Frames* frames) {
  frames->clear();
  SlowVisit visit{frames};
  const StackEnd end = slow_walk(context, &memory, visit_slow, &visit);
  return {frames->count(), visit.full ? StackEnd::too_deep : end};
}

// Apart, for the context's size.
__attribute__((noinline)) CaptureResult walk_slowly(const CalleeSaved& here, const StackBounds& bounds,
                                                    Frames* frames) {
  ucontext_t context;
  make_context(here, &context);
  return walk_slowly(context, ReadableMemory(here.sp, bounds), frames);
}

enum class Walked { to_its_end, until_full, until_complex };

Walked walk_frames(Walker* walker, Frames* frames) {
  for (;;) {
    const Along along = walker->go_along_memo(frames);
    if (along == Along::end) return Walked::to_its_end;
    if (along == Along::full) return Walked::until_full;
    walker->find_rule();
    if (!frames->add(walker->frame().lookup())) return Walked::until_full;
    const Step step = walker->step();
    if (step == Step::complex) return Walked::until_complex;
    if (step == Step::end) return Walked::to_its_end;
  }
}

// slowly(): what becomes of a stack with a frame that no rule holds.
template <typename Slowly>
CaptureResult walk(Walker* walker, Frames* frames, Slowly slowly) {
  const Walked walked = walk_frames(walker, frames);
  if (walked == Walked::until_complex) return slowly();
  walker->keep_memo();
  return {frames->count(), walked == Walked::until_full ? StackEnd::too_deep : walker->end()};
}

// Without libunwind, or without the registers that it needs.
CaptureResult end_there(const Frames& frames) { return {frames.count(), StackEnd::unknown_register}; }

CaptureResult walk(const ucontext_t& context, const StackBounds& bounds, WalkMemo* memo, uint64_t* out,
                   unsigned capacity) {
  Frames frames(out, capacity);
  const ReadableMemory memory(context, bounds);
  Walker walker({word_of_context(context, kContextPc), word_of_context(context, kContextSp),
                 word_of_context(context, kContextBp)},
                kHasLinkRegister ? word_of_context(context, kContextLink) : 0, /*knows_bp=*/true, memory, memo);
  return walk(&walker, &frames, [&] {
    if constexpr (kHasLibunwind) return walk_slowly(context, memory, &frames);
    return end_there(frames);
  });
}

CaptureResult walk(const CalleeSaved& here, const StackBounds& bounds, WalkMemo* memo, uint64_t* out,
                   unsigned capacity) {
  Frames frames(out, capacity);
  Walker walker({here.pc, here.sp, here.bp}, link_of(here), /*knows_bp=*/true, ReadableMemory(here.sp, bounds), memo);
  return walk(&walker, &frames, [&] {
    if constexpr (kHasLibunwind) return walk_slowly(here, bounds, &frames);
    return end_there(frames);
  });
}

template <typename From>
CaptureResult walk_with_memo(const From& from, const StackBounds& bounds, unsigned thread, uint64_t* out,
                             unsigned capacity) {
  WalkMemo* memo = take_walk_memo(thread);
  const CaptureResult result = walk(from, bounds, memo, out, capacity);
  if (memo != nullptr) give_back_walk_memo(memo);
  return result;
}

}  // namespace

void unwind_start(CodeRange own_code, Unwinder unwinder) {
  Frames::leave_out(own_code);
  code_lookup_start();
  rule_source_start(own_code, unwinder);
  if constexpr (kHasLibunwind) slow_walk_start();
}

CaptureResult capture(const ucontext_t& context, const StackBounds& bounds, uint64_t* out, unsigned capacity) {
  return walk(context, bounds, /*memo=*/nullptr, out, capacity);
}

CaptureResult capture(const ucontext_t& context, const StackBounds& bounds, unsigned thread, uint64_t* out,
                      unsigned capacity) {
  return walk_with_memo(context, bounds, thread, out, capacity);
}

CaptureResult capture(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t* out,
                      unsigned capacity) {
  return walk_with_memo(here, bounds, thread, out, capacity);
}

uint32_t known_stack(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t key) {
  WalkMemo* memo = take_walk_memo(thread);
  if (memo == nullptr) return 0;
  const uint32_t number = memo->known({here.pc, here.sp, here.bp}, rule_cache_generation(), key, bounds);
  give_back_walk_memo(memo);
  return number;
}

void stack_is_known(const CalleeSaved& here, const StackBounds& bounds, unsigned thread, uint64_t key,
                    uint32_t number) {
  WalkMemo* memo = take_walk_memo(thread);
  if (memo == nullptr) return;
  memo->make_known({here.pc, here.sp, here.bp}, rule_cache_generation(), key, bounds, number);
  give_back_walk_memo(memo);
}

CaptureResult capture(const SleepingAt& at, const StackBounds& bounds, StackCopy* copy, uint64_t* out,
                      unsigned capacity) {
  Frames frames(out, capacity);
  Walker walker({at.pc, at.sp, 0}, /*link=*/0, /*knows_bp=*/false, ReadableMemory(at.sp, bounds, copy),
                /*memo=*/nullptr);
  return walk(&walker, &frames, [&] { return end_there(frames); });
}

}  // namespace prof
