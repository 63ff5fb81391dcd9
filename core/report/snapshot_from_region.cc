#include "core/report/snapshot_from_region.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/base/clocks.h"
#include "core/record/cpu_buckets.h"
#include "core/record/event_buckets.h"
#include "core/record/heap_buckets.h"
#include "core/record/label_sets.h"
#include "core/record/loss_counters.h"
#include "core/record/stack_table.h"
#include "core/record/thread_table.h"
#include "core/record/unloaded_modules.h"
#include "core/report/module_map.h"
#include "core/report/region_reading.h"
#include "core/report/trace_from_region.h"

namespace prof {
namespace {

// The time that all is looked at: now, or the process's last moment.
int64_t now_of(const SnapshotParts& parts) { return parts.ended_ns != 0 ? parts.ended_ns : clock_ns(CLOCK_MONOTONIC); }

// Of any two numbers; not below 0.
uint64_t nanoseconds_between(int64_t from, int64_t to) {
  return to <= from ? 0 : std::min(static_cast<uint64_t>(to) - static_cast<uint64_t>(from), uint64_t{INT64_MAX});
}

void add_cpu_samples(const RegionView& region, const StackEntry& entry, Ref ref, uint32_t stretch, Stacks* stacks,
                     LabelSets* labels, ChainBudget* budget, Snapshot* snapshot) {
  for (Ref at = entry.buckets.load(std::memory_order_acquire); at != 0 && budget->take();) {
    const auto* bucket = region.at<CpuBucket>(at);
    if (bucket == nullptr) return;
    const uint64_t ticks = stretch == 0
                               ? bucket->total.load(std::memory_order_relaxed)
                               : ticks_of_word(bucket->words[stretch & 1].load(std::memory_order_relaxed), stretch);
    const int64_t stack = ticks == 0 ? -1 : stacks->index_of(ref);
    if (stack >= 0) {
      const bool has_labels = (bucket->thread_name & kHasLabels) != 0;
      if (has_labels && region.at<LabelledCpuBucket>(at) == nullptr) return;
      snapshot->cpu.samples.push_back({static_cast<uint32_t>(stack),
                                       thread_name(region, bucket->thread_name & ~kHasLabels), ticks, at,
                                       labels->index_of(labels_of(*bucket))});
    }
    at = bucket->next;
  }
}

// stretch 0: all that was ever counted; the time that it is of is its reader's.
void add_cpu(const RegionView& region, const SnapshotParts& parts, Stacks* stacks, LabelSets* labels,
             Snapshot* snapshot) {
  const uint32_t stretch = parts.stretch;
  const auto* cpu = region.root<CpuRecord>(Root::cpu);
  const auto* table = region.root<StackTable>(Root::stacks);
  if (cpu == nullptr || table == nullptr) return;
  snapshot->cpu.present = true;
  snapshot->cpu.period_ns = static_cast<uint64_t>(cpu->period_ns);
  snapshot->cpu.clock = cpu->clock == CpuClock::perf ? "perf" : cpu->clock == CpuClock::user ? "user" : "timer";
  if (stretch != 0) {
    const CpuStretch& times = cpu->stretches[stretch & 1];
    snapshot->cpu.start_unix_ns = times.start_unix_ns;
    const int64_t ended = times.end_monotonic_ns.load(std::memory_order_acquire);
    int64_t end = ended != 0 ? ended : now_of(parts);
    if (times.due_monotonic_ns > times.start_monotonic_ns) end = std::min(end, times.due_monotonic_ns);
    snapshot->cpu.duration_ns = nanoseconds_between(times.start_monotonic_ns, end);
    // It had begun, and nothing was recorded before it was killed.
    if (parts.ended_ns != 0) snapshot->cpu.duration_ns = std::max<uint64_t>(snapshot->cpu.duration_ns, 1);
  }
  if (table->is_used.load(std::memory_order_acquire) == 0) return;
  ChainBudget entries(region, sizeof(StackEntry));
  ChainBudget buckets(region, sizeof(CpuBucket));
  for (const auto& head : table->heads) {
    for (Ref ref = head.load(std::memory_order_acquire); ref != 0 && entries.take();) {
      const auto* entry = region.at<StackEntry>(ref);
      if (entry == nullptr) break;
      add_cpu_samples(region, *entry, ref, stretch, stacks, labels, &buckets, snapshot);
      ref = entry->next;
    }
  }
}

HeapSample heap_sample(const HeapBucket& bucket, uint32_t stack, uint64_t last_epoch) {
  HeapSample sample;
  sample.stack = stack;
  sample.size = bucket.size;
  sample.rate = static_cast<uint64_t>(bucket.rate);
  // Frees first: what is allocated and freed in between must not make the live ones negative.
  sample.freed = bucket.freed.load(std::memory_order_acquire);
  sample.allocated = std::max(bucket.allocated.load(std::memory_order_acquire), sample.freed);
  // Of a process that goes on it may have been saved for a later peak than the one that was read.
  const bool changed_since = bucket.saved_epoch.load(std::memory_order_acquire) >= last_epoch;
  sample.peak_freed = changed_since ? bucket.saved_freed.load(std::memory_order_relaxed) : sample.freed;
  sample.peak_allocated = changed_since ? bucket.saved_allocated.load(std::memory_order_relaxed) : sample.allocated;
  sample.peak_allocated = std::max(sample.peak_allocated, sample.peak_freed);
  return sample;
}

void add_heap(const RegionView& region, Stacks* stacks, LabelSets* labels, Snapshot* snapshot) {
  const auto* heap = region.root<HeapRecord>(Root::heap);
  if (heap == nullptr) return;
  snapshot->heap.present = true;
  snapshot->heap.has_peak = heap->keeps_peak != 0;
  snapshot->heap.rate = heap->rate;
  snapshot->heap.start_unix_ns = heap->start_unix_ns;
  snapshot->heap.peak_unix_ns = heap->peak_unix_ns.load(std::memory_order_relaxed);
  snapshot->heap.foreign_malloc.assign(heap->foreign_malloc,
                                       strnlen(heap->foreign_malloc, sizeof(heap->foreign_malloc)));
  const uint64_t epoch = heap->epoch.load(std::memory_order_acquire);
  if (heap->is_used.load(std::memory_order_acquire) == 0) return;
  ChainBudget budget(region, sizeof(HeapBucket));
  for (const auto& head : heap->heads) {
    for (Ref ref = head.load(std::memory_order_acquire); ref != 0 && budget.take();) {
      const auto* bucket = region.at<HeapBucket>(ref);
      if (bucket == nullptr) break;
      const int64_t stack = stacks->index_of(bucket->stack);
      if (stack >= 0) {
        snapshot->heap.samples.push_back(heap_sample(*bucket, static_cast<uint32_t>(stack), epoch));
        snapshot->heap.samples.back().labels = labels->index_of(bucket->labels);
      }
      ref = bucket->next;
    }
  }
}

void add_events(const RegionView& region, const SnapshotParts& parts, Stacks* stacks, LabelSets* labels,
                Snapshot* snapshot) {
  const auto* record = region.root<EventRecord>(Root::events);
  if (record == nullptr) return;
  snapshot->wall_period_ns = static_cast<uint64_t>(record->wall_period_ns);
  snapshot->wall_duration_ns = nanoseconds_between(record->wall_start_ns, now_of(parts));
  snapshot->wall_most_threads = record->wall_most_threads.load(std::memory_order_relaxed);
  if (record->is_used.load(std::memory_order_acquire) == 0) return;
  ChainBudget budget(region, sizeof(EventBucket));
  for (const auto& head : record->heads) {
    for (Ref ref = head.load(std::memory_order_acquire); ref != 0 && budget.take();) {
      const auto* bucket = region.at<EventBucket>(ref);
      if (bucket == nullptr) break;
      const double events = bucket->events.load(std::memory_order_relaxed);
      const int64_t stack = events > 0 ? stacks->index_of(bucket->stack) : -1;
      if (stack >= 0) {
        const uint64_t total = bucket->total.load(std::memory_order_relaxed);
        EventSample sample = {bucket->kind, static_cast<uint32_t>(stack),    bucket->detail, events, total, {},
                              ref,          labels->index_of(bucket->labels)};
        if (bucket->kind == EventKind::wall) {
          sample.thread_name = thread_name(region, static_cast<Ref>(bucket->detail >> 32));
          sample.detail = bucket->detail & 0xffff'ffff;
        }
        snapshot->events.push_back(std::move(sample));
      }
      ref = bucket->next;
    }
  }
}

void add_threads(const RegionView& region, uint32_t number, Stacks* stacks, LabelSets* labels, Snapshot* snapshot) {
  const auto* table = region.root<ThreadTable>(Root::threads);
  if (table == nullptr || number == 0) return;
  ChainBudget budget(region, sizeof(ThreadSlot));
  for (Ref ref = table->all.load(std::memory_order_acquire); ref != 0 && budget.take();) {
    const auto* slot = region.at<ThreadSlot>(ref);
    if (slot == nullptr) break;
    if (slot->view_number.load(std::memory_order_acquire) == number) {
      const int64_t stack = slot->view.stack == 0 ? -1 : stacks->index_of(slot->view.stack);
      snapshot->threads.push_back({slot->view_tid, thread_name(region, slot->view_name), stack, slot->view.state,
                                   slot->view.waited_ns, labels->index_of(slot->view.labels)});
    }
    ref = slot->next;
  }
  std::sort(snapshot->threads.begin(), snapshot->threads.end(),
            [](const ThreadSample& a, const ThreadSample& b) { return a.tid < b.tid; });
}

// A thread may begin or end a wait while its note is read, here or by whoever copied the region: `kind` is written last at the
// beginning and first at the end, and what is torn all the same is the time of a wait that begins just now.
void add_waits_now(const RegionView& region, const SnapshotParts& parts, Snapshot* snapshot) {
  const auto* table = region.root<ThreadTable>(Root::threads);
  if (table == nullptr) return;
  const int64_t now = now_of(parts);
  ChainBudget budget(region, sizeof(ThreadSlot));
  for (Ref ref = table->all.load(std::memory_order_acquire); ref != 0 && budget.take();) {
    const auto* slot = region.at<ThreadSlot>(ref);
    if (slot == nullptr) break;
    for (const WaitNote& note : slot->notes) {
      if (note.kind.load(std::memory_order_acquire) == WaitKind::none) continue;
      const auto waited = static_cast<int64_t>(nanoseconds_between(note.since_ns, now));
      std::atomic_thread_fence(std::memory_order_acquire);
      if (note.kind.load(std::memory_order_relaxed) == WaitKind::none) continue;
      ++snapshot->waits_now;
      snapshot->longest_wait_now_ns = std::max(snapshot->longest_wait_now_ns, waited);
    }
    ref = slot->next;
  }
}

void add_losses(const RegionView& region, Snapshot* snapshot) {
  const auto* counters = region.root<LossCounters>(Root::losses);
  for (unsigned i = 0; counters != nullptr && i < kLossCauses; ++i) {
    const uint64_t times = counters->of[i].times.load(std::memory_order_relaxed);
    const uint64_t ticks = counters->of[i].cpu_ticks.load(std::memory_order_relaxed);
    if (times != 0) snapshot->losses.push_back({static_cast<LossCause>(i), times, ticks});
  }
}

void add_region(const RegionView& region, Snapshot* snapshot) {
  const RegionHeader& header = region.header();
  snapshot->region_bytes = header.segments.load(std::memory_order_acquire) * kSegmentBytes;
  snapshot->region_used = header.used.load(std::memory_order_relaxed);
  snapshot->region_refusals = header.grow_failures.load(std::memory_order_relaxed);
  const auto* table = region.root<ThreadTable>(Root::threads);
  ChainBudget budget(region, sizeof(ThreadSlot));
  for (Ref ref = table == nullptr ? 0 : table->all.load(std::memory_order_acquire); ref != 0 && budget.take();) {
    const auto* slot = region.at<ThreadSlot>(ref);
    if (slot == nullptr) break;
    const int tid = slot->tid.load(std::memory_order_relaxed);
    if (is_tid(tid)) snapshot->tids.push_back(tid);
    ref = slot->next;
  }
}

std::string executable_of(int pid) {
  char path[4096];
  const ssize_t bytes = readlink((proc_folder(pid) + "exe").c_str(), path, sizeof(path));
  return bytes <= 0 ? std::string() : std::string(path, static_cast<size_t>(bytes));
}

}  // namespace

std::string build_id_text(const UnloadedModuleEntry& entry) {
  std::string text;
  for (uint32_t i = 0; i < std::min(entry.build_id_bytes, kMaxBuildIdBytes); ++i) {
    text += "0123456789abcdef"[entry.build_id[i] >> 4];
    text += "0123456789abcdef"[entry.build_id[i] & 15];
  }
  return text;
}

std::vector<UnloadedModule> unloaded_of(const RegionView& region) {
  std::vector<UnloadedModule> modules;
  const auto* table = region.root<ModuleTable>(Root::modules);
  ChainBudget budget(region, sizeof(UnloadedModuleEntry));
  for (Ref ref = table == nullptr ? 0 : table->unloaded.load(std::memory_order_acquire); ref != 0 && budget.take();) {
    const auto* entry = region.at<UnloadedModuleEntry>(ref);
    if (entry == nullptr || entry->path_bytes > kMostPathBytes ||
        region.at(ref, sizeof(*entry) + entry->path_bytes) == nullptr) {
      break;
    }
    UnloadedModule module;
    module.start = entry->start;
    module.end = entry->end;
    module.file_offset = entry->file_offset;
    module.last_generation = entry->last_generation.load(std::memory_order_acquire);
    module.path.assign(entry->path, entry->path_bytes);
    module.build_id = build_id_text(*entry);
    modules.push_back(std::move(module));
    ref = entry->next;
  }
  return modules;
}

namespace {

void add_ring_threads(const RegionView& region, Snapshot* snapshot) {
  const auto* cpu = region.root<CpuRecord>(Root::cpu);
  if (cpu == nullptr) return;
  snapshot->ring_threads = cpu->ring_threads.load(std::memory_order_relaxed);
  snapshot->in_user_mode = cpu->in_user_mode.load(std::memory_order_relaxed) != 0;
}

}  // namespace

Snapshot snapshot_from_region(const RegionView& region, const SnapshotParts& parts) {
  Snapshot snapshot;
  if (!region.valid()) return snapshot;
  const RegionHeader& header = region.header();
  snapshot.pid = header.pid;
  snapshot.start_unix_ns = header.start_unix_ns;
  if (parts.ended_ns == 0) {
    snapshot.executable = executable_of(header.pid);
  } else {
    snapshot.executable = owner_text(region, owner_of(region) == nullptr ? 0 : owner_of(region)->executable);
    snapshot.end_unix_ns =
        header.start_unix_ns + static_cast<int64_t>(nanoseconds_between(header.start_monotonic_ns, parts.ended_ns));
  }
  add_ring_threads(region, &snapshot);
  add_losses(region, &snapshot);
  add_region(region, &snapshot);
  snapshot.unloaded = unloaded_of(region);
  Stacks stacks(region, &snapshot);
  LabelSets labels(region, &snapshot);
  if (parts.stretch != 0 || parts.cpu_total) add_cpu(region, parts, &stacks, &labels, &snapshot);
  if (parts.trace) add_trace(region, parts, &stacks, &labels, &snapshot);
  if (!parts.cumulative) return snapshot;
  add_heap(region, &stacks, &labels, &snapshot);
  add_events(region, parts, &stacks, &labels, &snapshot);
  add_waits_now(region, parts, &snapshot);
  add_threads(region, parts.views, &stacks, &labels, &snapshot);
  return snapshot;
}

}  // namespace prof
