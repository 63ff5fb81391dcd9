#include "core/record/left_ticks.h"

#include <algorithm>

namespace prof {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Who reads while it is half done takes nothing.
template <typename Change>  // void()
void write(LeftTicks* left, Change change) {
  // Odd whatever it was: who starts the clock again may have written beside a handler of the old one.
  const uint32_t version = left->version.load(kRelaxed) | 1u;
  left->version.store(version, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  change();
  left->version.store(version + 1, std::memory_order_release);
}

bool is_at(const LeftTicks::Entry& entry, const TickPlace& place) {
  return entry.stack.load(kRelaxed) == place.stack && entry.thread_name.load(kRelaxed) == place.thread_name &&
         entry.labels.load(kRelaxed) == place.labels;
}

}  // namespace

void leave_ticks(LeftTicks* left, const TickPlace& place, uint32_t ticks) {
  write(left, [&] {
    uint32_t used = left->used.load(kRelaxed);
    if (used != 0 && left->entries[used - 1].stretch.load(kRelaxed) != place.stretch) used = 0;
    if (used == kLeftPlaces || (used != 0 && is_at(left->entries[used - 1], place))) {
      std::atomic<uint32_t>& last = left->entries[used - 1].ticks;
      last.store(last.load(kRelaxed) + ticks, kRelaxed);
      return;
    }
    LeftTicks::Entry& entry = left->entries[used];
    entry.stack.store(place.stack, kRelaxed);
    entry.thread_name.store(place.thread_name, kRelaxed);
    entry.labels.store(place.labels, kRelaxed);
    entry.stretch.store(place.stretch, kRelaxed);
    entry.ticks.store(ticks, kRelaxed);
    left->used.store(used + 1, kRelaxed);
  });
}

void forget_left_ticks(LeftTicks* left) {
  if (left->used.load(kRelaxed) == 0) return;
  write(left, [&] { left->used.store(0, kRelaxed); });
}

uint64_t sum_left_ticks(const LeftTicks& left) {
  uint64_t sum = 0;
  const uint32_t used = std::min(left.used.load(kRelaxed), kLeftPlaces);
  for (uint32_t i = 0; i < used; ++i) sum += left.entries[i].ticks.load(kRelaxed);
  return sum;
}

unsigned read_left_ticks(const LeftTicks& left, LeftTick (&entries)[kLeftPlaces]) {
  const uint32_t version = left.version.load(std::memory_order_acquire);
  const unsigned used = std::min(left.used.load(kRelaxed), kLeftPlaces);
  for (unsigned i = 0; i < used; ++i) {
    const LeftTicks::Entry& entry = left.entries[i];
    entries[i] = {{entry.stack.load(kRelaxed), entry.thread_name.load(kRelaxed), entry.labels.load(kRelaxed),
                   entry.stretch.load(kRelaxed)},
                  entry.ticks.load(kRelaxed)};
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  return version % 2 == 0 && left.version.load(kRelaxed) == version ? used : 0;
}

}  // namespace prof
