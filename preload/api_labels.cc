// The label calls of prof.h. Signal-safe; errno stays.

#define PROF_LINKED
#include "core/record/label_sets.h"
#include "preload/fork_flag.h"
#include "preload/prof.h"
#include "preload/thread_clock.h"
#include "preload/trace_sampling.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

using prof::LabelId;
using prof::ThreadSlot;

// Null: nothing is recorded in this process, or nothing of this thread. In a child by a bare fork the slot is its parent's.
inline ThreadSlot* own_slot() {
  ThreadSlot* slot = prof::slot_of_this_thread();
  return slot == nullptr || prof::g_region == nullptr || !prof::fork_flag_holds() ? nullptr : slot;
}

inline LabelId present(const ThreadSlot& slot) { return slot.labels.load(std::memory_order_relaxed); }
inline void change(ThreadSlot* slot, LabelId set) {
  const LabelId before = present(*slot);
  slot->labels.store(set, std::memory_order_relaxed);
  // While recording is paused too: what is recorded afterwards has the right ones.
  if (prof::trace_is_on() && set != before) prof::trace_labels(slot, before, set);
}

inline int error_of(const prof::LabelChange& changed) {
  if (changed.pair == prof::LabelChange::kReservedKey) return PROF_RESERVED_KEY;
  if (changed.pair == prof::LabelChange::kBadKey) return PROF_BAD_ARGUMENT;
  return changed.pair == 0 ? PROF_NO_ROOM : PROF_OK;
}

}  // namespace

EXPORTED int prof_label_set(const char* key, const char* value) {
  if (key == nullptr) return PROF_BAD_ARGUMENT;
  if (value == nullptr || value[0] == '\0') return prof_label_clear(key);
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  const prof::LabelChange changed = prof::labels_with(present(*slot), key, value);
  change(slot, static_cast<LabelId>(changed.set));
  return error_of(changed);
}

EXPORTED int prof_label_clear(const char* key) {
  if (key == nullptr) return PROF_BAD_ARGUMENT;
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  change(slot, prof::labels_without(present(*slot), key));
  return PROF_OK;
}

EXPORTED int prof_label_clear_all() {
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  change(slot, 0);
  return PROF_OK;
}

EXPORTED int prof_label_inherit(int on) {
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  slot->inherits.store(on != 0 ? 1 : 0, std::memory_order_relaxed);
  return PROF_OK;
}

EXPORTED int prof_label_enter(const char* key, const char* value, prof_label_former* former) {
  if (former == nullptr) return PROF_BAD_ARGUMENT;
  *former = {0, 0};
  if (key == nullptr || value == nullptr || value[0] == '\0') return PROF_BAD_ARGUMENT;
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  const LabelId before = prof::label_of_key(present(*slot), key);
  const prof::LabelChange changed = prof::labels_with(present(*slot), key, value);
  change(slot, static_cast<LabelId>(changed.set));
  // LabelIds: of the pair that was set, 0: it did not fit; and of the one that the key had, 0: none.
  former->label = static_cast<LabelId>(changed.pair);
  former->before = before;
  return error_of(changed);
}

EXPORTED int prof_label_leave(const prof_label_former* former) {
  if (former == nullptr) return PROF_BAD_ARGUMENT;
  ThreadSlot* slot = own_slot();
  if (slot == nullptr) return PROF_OFF;
  change(slot, prof::labels_restored(present(*slot), former->label, former->before));
  return PROF_OK;
}

EXPORTED const char* prof_version() { return "0.1"; }
