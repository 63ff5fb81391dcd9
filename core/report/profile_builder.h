// Snapshot → Profile: addresses become locations with mappings and names. Normal code.
//
// What consumers expect of the result is tested one by one in profile_builder_test.cc. Mappings: the main program first, then
// every mapping that a location lies in; those that no sample met are left out (pprof would open their files for nothing).
#pragma once

#include "core/report/config.h"
#include "core/report/module_map.h"
#include "core/report/profile_model.h"
#include "core/report/snapshot.h"
#include "core/report/symbolizer.h"

namespace prof {

Profile build_cpu_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer);

enum class HeapView {
  heap,
  allocs,
  peak
};  // inuse_space first, alloc_space first, as it was at the highest live bytes

// Samples are scaled to what they stand for (core/record/byte_sampler.h), each stack and size by itself.
Profile build_heap_profile(const Snapshot& snapshot, HeapView view, const ModuleMap& modules, Symbolizer* symbolizer);

// The profile of a kind that is in the snapshot. Of the heap: HeapView::heap or ::allocs.
Profile build_profile(const Snapshot& snapshot, ProfileKind kind, const ModuleMap& modules, Symbolizer* symbolizer);

// What a profile of a kind counts, of those that count events.
constexpr EventKind event_of(ProfileKind kind) {
  switch (kind) {
    case ProfileKind::mutex:
      return EventKind::mutex;
    case ProfileKind::threadcreate:
      return EventKind::thread_created;
    case ProfileKind::wall:
      return EventKind::wall;
    default:
      return EventKind::block;
  }
}

// block, mutex and threadcreate, as recorded.
Profile build_event_profile(const Snapshot& snapshot, ProfileKind kind, const ModuleMap& modules,
                            Symbolizer* symbolizer);

// Threads seen at ticks of the wall clock, running or not.
Profile build_wall_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer);

// One sample for each thread; in the order of Snapshot::threads.
Profile build_stacks_profile(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer);

}  // namespace prof
