#include "preload/counted_ticks.h"

#include <algorithm>
#include <cstdint>

#include "core/base/call_on_stack.h"
#include "core/record/loss_counters.h"
#include "core/record/scratch.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/unloaded_modules.h"
#include "core/unwind/unwind.h"
#include "preload/own_stack.h"
#include "preload/trace_sampling.h"

namespace prof {
namespace {

unsigned g_stack_depth = 128;
uint64_t g_keep_name_ticks = 1;

CpuRecord* record() { return region_root<CpuRecord>(Root::cpu); }

// Where all is counted that is due when the clock is stopped.
void leave_place(ThreadSlot* slot, const TickPlace& place) {
  if (place.stack == 0) return;
  forget_left_ticks(&slot->left);
  leave_ticks(&slot->left, place, UINT32_MAX);
}

struct Tick {
  ThreadSlot* slot;
  const ucontext_t* context;
  Scratch* scratch;
  DueTicks due;
  uint32_t stretch;  // 0: none
  bool is_ring;
};

void count(const Tick& tick, const TickPlace& place, uint64_t ticks) {
  if (ticks == 0) return;
  if (place.stack == 0 || !count_cpu_ticks(place.stack, place.thread_name, place.labels, tick.stretch, ticks))
    count_loss(LossCause::region_full, ticks);
  if (trace_is_on()) trace_sample(tick.slot, place.thread_name, place.stack, ticks);
}

// On the scratch stack.
void record_tick(void* argument) {
  const auto& tick = *static_cast<const Tick*>(argument);
  const Ref name = own_thread_name(tick.slot, tick.due.counted(), g_keep_name_ticks);
  const uint32_t generation = module_generation();
  const StackBounds bounds = {tick.slot->stack_low, tick.slot->stack_high};
  uint64_t* frames = tick.scratch->frames;
  const CaptureResult result =
      capture(*tick.context, bounds, static_cast<unsigned>(tick.slot->tid.load(std::memory_order_relaxed)), frames,
              g_stack_depth);
  const Ref stack = intern_stack(frames, end_stack(frames, result.frames, result.end), generation);
  const LabelId labels = tick.slot->labels.load(std::memory_order_relaxed);
  const TickPlace place = {stack, name, labels, tick.stretch};
  if (tick.is_ring && stack != 0) tick.slot->ring_stack.store(stack, std::memory_order_relaxed);
  count(tick, place, tick.due.ticks);
  count(tick, {tick.slot->ring_stack.load(std::memory_order_relaxed), name, labels, tick.stretch}, tick.due.in_ring);
  if (tick.due.left != 0 && stack != 0) leave_ticks(&tick.slot->left, place, tick.due.left);
  if (tick.slot->ticks_in_user_mode != 0) leave_place(tick.slot, place);
}

}  // namespace

void counted_ticks_prepare(unsigned stack_depth, int64_t period_ns) {
  constexpr int64_t kKeepNameNs = 100'000'000;  // of a thread's CPU time
  g_stack_depth = stack_depth;
  g_keep_name_ticks = static_cast<uint64_t>(std::max<int64_t>(kKeepNameNs / period_ns, 1));
}

void count_ticks_at(ThreadSlot* slot, const ucontext_t& context, const DueTicks& due, uint32_t stretch, bool is_ring) {
  Scratch* scratch = take_scratch();
  if (scratch == nullptr) return count_loss(LossCause::no_scratch, due.counted());
  Tick tick = {slot, &context, scratch, due, stretch, is_ring};
  prof_call_on_stack(scratch->stack_top(), record_tick, &tick);
  give_back_scratch(scratch);
}

TickPlace count_ticks_here(ThreadSlot* slot, uint64_t ticks, uint32_t stretch) {
  const Ref name = own_thread_name(slot, ticks, g_keep_name_ticks);
  const Ref stack = own_stack(g_stack_depth);
  const LabelId labels = slot->labels.load(std::memory_order_relaxed);
  if (ticks != 0 && (stack == 0 || !count_cpu_ticks(stack, name, labels, stretch, ticks)))
    count_loss(LossCause::region_full, ticks);
  if (ticks != 0 && trace_is_on()) trace_sample(slot, name, stack, ticks);
  return {stack, name, labels, stretch};
}

void count_ticks_at_ring(ThreadSlot* slot, uint64_t ticks, uint32_t stretch) {
  const TickPlace place = count_ticks_here(slot, ticks, stretch);
  leave_place(slot, place);
  if (place.stack != 0) slot->ring_stack.store(place.stack, std::memory_order_relaxed);
}

void count_left_ticks(const ThreadSlot& slot, const OpenTicks& open) {
  LeftTick left[kLeftPlaces];
  const unsigned places = read_left_ticks(slot.left, left);
  const auto count_at = [](const TickPlace& place, Ref stack, uint64_t ticks) {
    // Of an earlier stretch: that has been reported, and its buckets are this one's.
    const uint32_t stretch = place.stretch == record()->stretch.load(std::memory_order_relaxed) ? place.stretch : 0;
    if (ticks != 0 && !count_cpu_ticks(stack, place.thread_name, place.labels, stretch, ticks))
      count_loss(LossCause::region_full, ticks);
  };
  uint64_t ticks = open.ticks;
  if (places == 0) {
    ticks += open.in_ring;
  } else {
    count_at(left[places - 1].place, slot.ring_stack.load(std::memory_order_relaxed), open.in_ring);
  }
  for (unsigned i = 0; i < places && ticks != 0; ++i) {
    const uint64_t here = std::min<uint64_t>(ticks, left[i].ticks);
    count_at(left[i].place, left[i].place.stack, here);
    ticks -= here;
  }
  if (ticks != 0 && slot.ticks_in_user_mode != 0) count_loss(LossCause::tick_unplaced, ticks);
}

bool has_left_place(const ThreadSlot& slot) { return sum_left_ticks(slot.left) != 0; }

}  // namespace prof
