#include "core/record/record.h"

#include "core/base/clocks.h"
#include "core/record/cpu_buckets.h"
#include "core/record/event_buckets.h"
#include "core/record/heap_buckets.h"
#include "core/record/label_sets.h"
#include "core/record/live_blocks.h"
#include "core/record/loss_counters.h"
#include "core/record/snapshot_numbers.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/thread_table.h"
#include "core/record/trace_rings.h"
#include "core/record/unloaded_modules.h"
#include "core/record/wait_table.h"

namespace prof {
namespace {

template <typename Table>
bool create(Root root) {
  static_assert(sizeof(Table) <= kSegmentBytes / 2);
  const Ref ref = region_allocate(sizeof(Table));
  g_region->roots[static_cast<unsigned>(root)] = ref;
  return ref != 0;
}

}  // namespace

bool record_create_heap(uint64_t rate, bool keeps_peak) {
  static_assert(sizeof(HeapRecord) <= kSegmentBytes / 2);
  // Filled before a reader can find it.
  const Ref ref = region_allocate(sizeof(HeapRecord));
  if (ref == 0 || !live_blocks_create(rate)) return false;
  auto* heap = region_at<HeapRecord>(ref);
  heap->rate = rate;
  heap->keeps_peak = keeps_peak ? 1 : 0;
  heap->start_unix_ns = clock_ns(CLOCK_REALTIME);
  heap->epoch.store(1, std::memory_order_release);
  g_region->roots[static_cast<unsigned>(Root::heap)] = ref;
  return true;
}

bool record_create(const RecordedKinds& kinds) {
  return create<StackTable>(Root::stacks) && create<ThreadNameTable>(Root::thread_names) &&
         create<ThreadTable>(Root::threads) && create<ModuleTable>(Root::modules) &&
         create<LossCounters>(Root::losses) && create<CpuRecord>(Root::cpu) &&
         create<SnapshotNumbers>(Root::snapshots) && labels_create() && trace_create(kinds.trace_ring_bytes) &&
         (kinds.heap_rate == 0 || record_create_heap(kinds.heap_rate, kinds.heap_peak)) &&
         (!kinds.events || (create<EventRecord>(Root::events) && wait_table_create()));
}

}  // namespace prof
