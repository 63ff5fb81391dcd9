#include "core/record/shown_tick.h"

namespace prof {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// xorshift32 (Marsaglia 2003).
uint32_t next_random(ShownTick* shown, uint32_t seed) {
  uint32_t x = shown->random.load(kRelaxed);
  if (x == 0) x = seed | 1u;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  shown->random.store(x, kRelaxed);
  return x;
}

void write(ShownTick* shown, const CountedTick& tick) {
  const uint32_t version = shown->version.load(kRelaxed);
  shown->version.store(version + 1, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  shown->stack.store(tick.stack, kRelaxed);
  shown->thread_name.store(tick.thread_name, kRelaxed);
  shown->labels.store(tick.labels, kRelaxed);
  shown->stretch.store(tick.stretch, kRelaxed);
  shown->version.store(version + 2, std::memory_order_release);
}

}  // namespace

void show_tick(ShownTick* shown, const CountedTick& tick, uint64_t ticks, uint32_t seed) {
  if (shown->stack.load(kRelaxed) == 0 || shown->stretch.load(kRelaxed) != tick.stretch) shown->seen.store(0, kRelaxed);
  const uint64_t seen = shown->seen.load(kRelaxed) + ticks;
  shown->seen.store(seen, kRelaxed);
  // A reservoir of one (Vitter 1985, algorithm R): the newest takes the place with the chance of its share.
  if (seen == ticks || next_random(shown, seed) % seen < ticks) write(shown, tick);
}

void forget_shown_tick(ShownTick* shown) { write(shown, {}); }

bool read_shown_tick(const ShownTick& shown, CountedTick* tick) {
  const uint32_t version = shown.version.load(std::memory_order_acquire);
  *tick = {shown.stack.load(kRelaxed), shown.thread_name.load(kRelaxed), shown.labels.load(kRelaxed),
           shown.stretch.load(kRelaxed)};
  std::atomic_thread_fence(std::memory_order_acquire);
  return version % 2 == 0 && shown.version.load(kRelaxed) == version && tick->stack != 0;
}

}  // namespace prof
