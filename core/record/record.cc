#include "core/record/record.h"

#include "core/record/cpu_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/thread_table.h"
#include "core/record/unloaded_modules.h"

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

bool record_create() {
  return create<StackTable>(Root::stacks) && create<ThreadNameTable>(Root::thread_names) &&
         create<ThreadTable>(Root::threads) && create<ModuleTable>(Root::modules) &&
         create<LossCounters>(Root::losses) && create<CpuRecord>(Root::cpu);
}

}  // namespace prof
