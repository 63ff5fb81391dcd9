// What the status and the metrics are made of: what is recorded, what is lost, and what keeps libprof from seeing something. Plain data,
// and how it is made. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/report/config.h"
#include "core/report/snapshot.h"
#include "core/serve/process_facts.h"
#include "core/serve/recording_state.h"
#include "core/serve/unreached_code.h"

namespace prof {

// What the server knows of a kind, and of the settings.
struct KindSetting {
  ProfileKind kind = ProfileKind::cpu;
  Recording recording = Recording::off;
  int64_t since_unix_ns = 0;  // where it is on
};
struct StatusSettings {
  std::vector<KindSetting> kinds;
  int64_t cpu_period_ns = 0;
  uint64_t heap_rate = 0;  // mean bytes between samples
  int64_t block_rate_ns = 0;
  uint32_t mutex_fraction = 0;
  bool is_paused = false;  // by the program
};

// The counts never go back as long as the snapshots are of one process, and its CPU samples those of all time (not of a stretch).
struct KindStatus {
  KindSetting setting;
  uint64_t records = 0;  // stacks and labels that tell samples apart
  uint64_t samples = 0;  // cpu, wall: looks; heap: sampled allocations; block, mutex, threadcreate: events
  uint64_t ns = 0;       // cpu, wall: that the samples stand for; block, mutex: waited
  uint64_t freed = 0;    // heap: of the sampled allocations
};

struct Status {
  std::string program;  // absolute path
  int pid = 0;
  ProcessFacts process;
  StatusSettings settings;
  std::vector<KindStatus> kinds;  // as the settings have them
  uint64_t losses[kLossCauses] = {};
  uint64_t lost_ticks[kLossCauses] = {};  // of these, CPU ticks
  unsigned threads = 0;                   // of the program, that are known
  unsigned waits_now = 0;
  int64_t longest_wait_now_ns = 0;
  std::string foreign_malloc;  // the file whose malloc the program calls instead of ours; empty: none
  std::vector<UnreachedCode> unreached;
  uint64_t region_bytes = 0, region_used = 0;
  uint32_t region_refusals = 0;

  uint64_t losses_of(LossCause cause) const { return losses[static_cast<unsigned>(cause)]; }
};

// snapshot: with its cumulative part. modules: of the same process.
Status status_from_snapshot(const Snapshot& snapshot, const StatusSettings& settings, const ProcessFacts& process,
                            const ModuleMap& modules);

}  // namespace prof
