#include "core/record/thread_names.h"

#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/raw_syscall.h"

namespace prof {

Ref intern_thread_name(const char (&name)[kThreadNameBytes]) {
  uint64_t words[2];
  memcpy(words, name, sizeof(words));
  const uint64_t hash = (words[0] ^ (words[1] * 0x9e37'79b9'7f4a'7c15)) * 0x9e37'79b9'7f4a'7c15;
  std::atomic<Ref>& head = region_root<ThreadNameTable>(Root::thread_names)->heads[(hash >> 32) % kThreadNameHeads];
  Ref first = head.load(std::memory_order_acquire);
  for (Ref ref = first; ref != 0;) {
    const auto* entry = region_at<ThreadNameEntry>(ref);
    if (memcmp(entry->name, name, kThreadNameBytes) == 0) return ref;
    ref = entry->next;
  }
  const Ref ref = region_allocate(sizeof(ThreadNameEntry));
  if (ref == 0) return 0;
  auto* entry = region_at<ThreadNameEntry>(ref);
  memcpy(entry->name, name, kThreadNameBytes);
  do {
    entry->next = first;
  } while (!head.compare_exchange_weak(first, ref, std::memory_order_release, std::memory_order_acquire));
  return ref;
}

namespace {

std::atomic<uint32_t> g_version{0};

Ref intern_own_name() {
  char name[kThreadNameBytes] = {};
  raw_syscall(SYS_prctl, PR_GET_NAME, name);
  for (unsigned i = 0, ended = 0; i < kThreadNameBytes; ++i) {
    ended |= name[i] == 0;
    if (ended != 0) name[i] = 0;
  }
  return intern_thread_name(name);
}

}  // namespace

Ref own_thread_name(ThreadSlot* slot, uint64_t ticks, uint64_t keep_ticks) {
  // Not at every tick: a system call costs the program more than the rest of a tick does (caches, branch predictors). Names
  // set by prctl and pthread_setname_np are announced; by /proc they are not, hence the limit.
  const uint32_t version = g_version.load(std::memory_order_acquire);
  if (slot->name == 0 || slot->name_version != version || slot->name_ticks >= keep_ticks) {
    slot->name = intern_own_name();
    slot->name_version = version;
    slot->name_ticks = 0;
  }
  slot->name_ticks = static_cast<uint32_t>(std::min(slot->name_ticks + ticks, uint64_t{UINT32_MAX}));
  return slot->name;
}

void thread_names_changed() { g_version.fetch_add(1, std::memory_order_release); }

}  // namespace prof
