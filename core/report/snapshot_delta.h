// What was recorded between two moments, of kinds whose counters only grow: CPU ticks and samples of the wall clock. Each reader keeps
// what the counters were at its beginning, so any number of them may overlap. Normal code.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "core/report/snapshot.h"

namespace prof {

class SnapshotBase {
 public:
  explicit SnapshotBase(const Snapshot& snapshot);
  // Leaves in a later snapshot of the same process what came since. What has not changed is left out.
  void take_from(Snapshot* snapshot) const;

 private:
  struct Events {
    double events;
    uint64_t total;
  };
  std::unordered_map<Ref, uint64_t> ticks_;  // by bucket
  std::unordered_map<Ref, Events> events_;
  std::unordered_map<unsigned, Loss> losses_;  // by cause
};

}  // namespace prof
