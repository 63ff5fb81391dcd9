#include "core/unwind/known_walks.h"

#include <cstring>

#include "core/unwind/walk_memo.h"

namespace prof {
namespace {

// Of the caller's own stack, between its stack pointer and its end: always readable.
[[gnu::no_sanitize_address]] uint64_t word_at(uint64_t address) {
  uint64_t value;
  memcpy(&value, reinterpret_cast<const void*>(address), sizeof(value));
  return value;
}

// The bytes of a word at `address` lie on the stack from sp on.
bool is_within(uint64_t address, uint64_t sp, const StackBounds& bounds) {
  return address >= sp && address < bounds.high && bounds.high - address >= sizeof(uint64_t);
}

}  // namespace

bool KnownWalks::Start::operator==(const Start& other) const {
  return registers.sp == other.registers.sp && registers.bp == other.registers.bp &&
         registers.pc == other.registers.pc && rules == other.rules && key == other.key;
}

bool KnownWalks::is_unchanged(const Walk& walk, const StackBounds& bounds) const {
  if (!is_within(walk.highest, walk.start.registers.sp, bounds)) return false;
  for (uint32_t i = 0; i < walk.count; ++i) {
    if (without_signature(word_at(walk.words[i].address)) != walk.words[i].value) return false;
  }
  return true;
}

uint32_t KnownWalks::find(const Start& start, const StackBounds& bounds) const {
  if (start.registers.sp < bounds.low) return 0;
  for (unsigned i = 0; i < kWalks; ++i) {
    if (sps_[i] != start.registers.sp) continue;
    const Walk& walk = walks_[i];
    if (walk.number != 0 && walk.start == start && is_unchanged(walk, bounds)) return walk.number;
  }
  return 0;
}

void KnownWalks::keep(const Start& start, const StackBounds& bounds, const WalkedFrame* frames, unsigned count,
                      uint32_t number) {
  const uint64_t sp = start.registers.sp;
  if (sp < bounds.low || count == 0 || frames[0].caller_bp_at != WalkedFrame::kOutermost) return;
  const WalkedFrame& leaf = frames[count - 1];
  // Another walk may have come between, of a handler or a thread that has the same memo.
  if (leaf.pc != WalkedFrame::pc_word(start.registers.pc, /*called=*/false) || leaf.sp != sp ||
      leaf.bp != start.registers.bp) {
    return;
  }
  Walk& walk = walks_[next_];
  walk.number = 0;
  walk.start = start;
  walk.highest = sp;
  walk.count = 0;
  const auto add = [&](uint64_t address, uint64_t value) {
    if (walk.count == kWords || !is_within(address, sp, bounds)) return false;
    if (address > walk.highest) walk.highest = address;
    walk.words[walk.count++] = {address, value};
    return true;
  };
  for (unsigned i = count - 1; i > 0; --i) {
    const WalkedFrame& frame = frames[i];
    const WalkedFrame& caller = frames[i - 1];
    if (frame.caller_bp_at == WalkedFrame::kByOtherMeans || frame.caller_bp_at == WalkedFrame::kOutermost) return;
    if (!add(frame.return_place.address(caller.sp), caller.pc & ~WalkedFrame::kCalled)) return;
    if (frame.caller_bp_at != WalkedFrame::kBpUnchanged && !add(frame.caller_bp_at, caller.bp)) return;
  }
  walk.number = number;
  sps_[next_] = sp;
  next_ = (next_ + 1) % kWalks;
}

}  // namespace prof
