#include "core/record/thread_names.h"

#include <sys/prctl.h>

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

Ref intern_own_thread_name() {
  // Asked at every tick (60 ns): a name may be set by prctl, pthread_setname_np or /proc, by this thread or another.
  char name[kThreadNameBytes] = {};
  raw_syscall(SYS_prctl, PR_GET_NAME, name);
  const size_t length = strnlen(name, kThreadNameBytes - 1);
  memset(name + length, 0, kThreadNameBytes - length);
  return intern_thread_name(name);
}

}  // namespace prof
