// A status with something of everything in it, for the tests of what is made of one.
#pragma once

#include "core/serve/status.h"

namespace prof {

inline constexpr int64_t kTestSecond = 1'000'000'000;
inline constexpr int64_t kTestStart = 1'700'000'000 * kTestSecond;

inline EventSample test_event(EventKind kind, double events, uint64_t total) {
  EventSample sample;
  sample.kind = kind;
  sample.events = events;
  sample.total = total;
  return sample;
}

inline CpuSample test_ticks(const char* thread, uint64_t ticks) {
  CpuSample sample;
  sample.thread_name = thread;
  sample.ticks = ticks;
  return sample;
}

inline Snapshot test_snapshot() {
  Snapshot snapshot;
  snapshot.pid = 4711;
  snapshot.executable = "/usr/bin/server";
  snapshot.cpu.present = true;
  snapshot.cpu.period_ns = 10'000'000;
  snapshot.cpu.samples = {test_ticks("a", 3), test_ticks("b", 4)};
  snapshot.heap.present = true;
  snapshot.heap.rate = 524'288;
  snapshot.heap.samples = {{.stack = 0, .size = 100, .allocated = 5, .freed = 2},
                           {.stack = 1, .size = 100, .allocated = 1, .freed = 1}};
  snapshot.events = {test_event(EventKind::block, 2.6, 7'000'000), test_event(EventKind::block, 1.6, 1'000'000),
                     test_event(EventKind::mutex, 1, 500), test_event(EventKind::wall, 9, 90'000'000),
                     test_event(EventKind::thread_created, 6, 4)};
  snapshot.tids = {4711, 4712, 4713};
  snapshot.losses = {{LossCause::stack_too_deep, 12, 0}, {LossCause::no_scratch, 2, 5}};
  snapshot.region_bytes = 4 << 20;
  snapshot.region_used = 3 << 20;
  return snapshot;
}

inline StatusSettings test_settings(Recording recording = Recording::on) {
  StatusSettings settings;
  for (unsigned kind = 0; kind < kProfileKinds; ++kind) {
    settings.kinds.push_back({static_cast<ProfileKind>(kind), recording, kTestStart});
  }
  settings.cpu_period_ns = 10'000'000;
  settings.heap_rate = 524'288;
  settings.block_rate_ns = 10'000;
  settings.mutex_fraction = 1;
  return settings;
}

inline ProcessFacts test_facts() {
  ProcessFacts facts;
  facts.command_line = {"/usr/bin/server", "a \"b\""};
  facts.host = "machine";
  facts.started_unix_ns = kTestStart;
  facts.now_unix_ns = kTestStart + 7'380 * kTestSecond;
  facts.cpu_ns = 20'000'000;
  facts.own_memory_bytes = 9 << 20;
  facts.own_cpu_ns = 1'500'000'000;
  return facts;
}

inline Status test_status(const Snapshot& snapshot = test_snapshot(), Recording recording = Recording::on) {
  return status_from_snapshot(snapshot, test_settings(recording), test_facts(),
                              ModuleMap::of_text("1000-2000 r-xp 00000000 08:01 10 /lib/libjemalloc.so.2\n", "/x"));
}

inline const KindStatus& kind_of(const Status& status, ProfileKind kind) {
  return status.kinds[static_cast<unsigned>(kind)];
}

}  // namespace prof
